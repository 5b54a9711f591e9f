"""Lets torchvision import in a CPU-only environment whose torchvision was built for CUDA.

Such a torchvision cannot load its compiled operators, but registers Python fakes for two of them on
import, which fails: "operator torchvision::nms does not exist". Declaring the schemas of these two
just before the import is enough. Image transforms, all that vLLM's processor uses, then work; the
operators themselves remain unusable.

`vllm_env.sh` copies this file beside torchvision, with a .pth file that imports it when Python
starts. It costs nothing until torchvision is imported. Do not use it with a torchvision that works:
the schemas would be declared twice.
"""

import sys
from importlib.abc import MetaPathFinder

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _DeclareBeforeTorchvision(MetaPathFinder):
    """Finds no module; declares the schemas at the first import of torchvision."""

    library = None  # dropping the library would drop its schemas

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torchvision" and self.library is None:
            from torch.library import Library

            self.library = Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                self.library.define(name + _SCHEMA)
        return None


sys.meta_path.insert(0, _DeclareBeforeTorchvision())
