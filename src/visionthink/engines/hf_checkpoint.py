"""Loading a transformers checkpoint of a known family, from a folder or a hub id.

Weights are read from safetensors only and no code of a checkpoint is run unless asked for. The
image processor is always the PIL one, so that torchvision makes no difference to the pixels.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionthink.core.errors import CheckpointError, MissingExtraError, UsageError
from visionthink.core.families import family_of
from visionthink.core.images import Cells, Grid, Picture
from visionthink.core.ledger import ModelShape
from visionthink.core.profiles import PROFILES

try:
    import huggingface_hub
    import torch
    import transformers

    from visionthink.engines.families import RUNNERS, Runner, SpecialTokens
except ImportError as error:
    raise MissingExtraError("the hf engine", "hf") from error

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with what is needed to talk to it.

    Attributes:
        runner: how transformers runs models of its family.
        tokens: special tokens of the family.
        stop_ids: token ids that end a reply.
        render: renders the chat template elsewhere; see `TemplateProcess`.
        profile: prompt profile named in the checkpoint's `visionthink.json`, if there is one.
    """

    name: str
    model: Any
    tokenizer: Any
    image_processor: Any
    grid: Grid
    shape: ModelShape
    runner: Runner
    tokens: SpecialTokens
    stop_ids: tuple[int, ...]
    pad_id: int
    profile: str | None
    render: Callable[[Sequence[Mapping[str, Any]]], str] | None = None

    def prompt(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The chat template's text of `messages`, up to where the reply begins."""
        if self.render is not None:
            return self.render(messages)
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    def inputs(self, pictures: Sequence[Picture]) -> dict[str, torch.Tensor]:
        """What the model takes of `pictures` besides tokens; on its device, pixels in its dtype.

        Raises:
            EngineError: the image processor makes other visual tokens of them than `grid` says.
        """
        if not pictures:
            return {}
        made = self.runner.inputs(pictures, self.cells(pictures), self.image_processor)
        return {
            name: values.to(self.device, self.model.dtype if values.is_floating_point() else None)
            for name, values in made.items()
        }

    def cells(self, pictures: Sequence[Picture]) -> list[Cells]:
        return [picture.cells(self.grid) for picture in pictures]

    def markers(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The input that marks the visual tokens among `ids` (B, T), if the model takes one."""
        name = self.runner.marker_input
        return {name: (ids == self.tokens.image).int()} if name else {}


def load_checkpoint(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    max_pixels: int | None = None,
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Load a checkpoint of one of `core.families.FAMILIES`.

    Args:
        model: a folder, or a hub id such as `Qwen/Qwen2.5-VL-3B-Instruct`.
        device: "auto" (CUDA, else MPS, else CPU) or any torch device.
        dtype: "auto" is float32 on CPU, bfloat16 elsewhere.
        max_pixels: images larger than this are shrunk to it; default: as the checkpoint says.
        trust_remote_code: run Python code that the checkpoint brings along.

    Raises:
        CheckpointError: it cannot be found, is of another family, has no safetensors weights, …
        UsageError: no such device or dtype, or max_pixels is below 1.
    """
    name = str(model)
    if max_pixels is not None and max_pixels < 1:
        raise UsageError(f"max_pixels must be at least 1; got {max_pixels}")
    place, number_type = _placement(device, dtype)
    if os.path.exists(name) or name.startswith((".", "/", "~")):
        _check_folder(name)
    else:
        _check_hub(name)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        with _quiet():
            config, tokenizer, processor, network = _load(name, number_type, options)
        network.to(place).eval()
    except CheckpointError:
        raise
    except Exception as error:
        # transformers raises many types here; each means that the checkpoint cannot be used.
        raise CheckpointError(f"cannot load model {name!r}: {_first_line(error)}") from error
    if not tokenizer.chat_template:
        raise CheckpointError(f"model {name!r} has no chat template; save one with its tokenizer")
    family, runner = family_of(config.to_dict(), name), RUNNERS[config.model_type]
    if max_pixels is not None:
        runner.limit_pixels(processor, max_pixels)
    tokens = runner.special_tokens(config, tokenizer)
    return Checkpoint(
        name=name,
        model=network,
        tokenizer=tokenizer,
        image_processor=processor,
        grid=family.grid_of(config.to_dict(), processor.to_dict(), max_pixels),
        shape=family.shape(config.to_dict()),
        runner=runner,
        tokens=tokens,
        stop_ids=_stop_ids(network, tokenizer, tokens.end),
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        profile=_named_profile(name),
    )


def _load(name: str, dtype: torch.dtype, options: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Configuration, tokenizer, image processor and network, as transformers reads them."""
    config = transformers.AutoConfig.from_pretrained(name, **options)
    family_of(config.to_dict(), name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
    processor = transformers.AutoImageProcessor.from_pretrained(name, backend="pil", **options)
    network = transformers.AutoModelForImageTextToText.from_pretrained(
        name, dtype=dtype, use_safetensors=True, **options
    )
    return config, tokenizer, processor, network


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' warnings and progress bars, except those of downloads."""
    logging, hub = transformers.utils.logging, huggingface_hub.utils
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    downloads_show = not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # also disables those of downloads
    if downloads_show:
        hub.enable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not downloads_show:
            hub.disable_progress_bars()


def _check_folder(name: str) -> None:
    """Raise CheckpointError, in one line, for folders that transformers would reject in many."""
    folder = Path(name)
    if not os.path.exists(folder):  # unlike Path.exists, False for impossible names
        raise CheckpointError(f"model folder {name!r} does not exist; give a folder or a hub id")
    if not folder.is_dir():
        raise CheckpointError(f"model {name!r} is a file; give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"model folder {name!r} has no config.json; is it a checkpoint?")
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(p.name for kind in ("*.bin", "*.pt", "*.pth") for p in folder.glob(kind))
    if pickles:
        raise CheckpointError(
            f"model folder {name!r} has only pickle weights ({pickles[0]}), which can run any code "
            "when loaded; convert them to safetensors"
        )
    raise CheckpointError(f"model folder {name!r} has no weights (*.safetensors)")


def _check_hub(name: str) -> None:
    """Ask the hub once for a model that is not cached: transformers would try for half a minute."""
    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            return
        huggingface_hub.HfApi().model_info(name, timeout=30)
    except huggingface_hub.errors.HFValidationError as error:
        raise CheckpointError(
            f"model {name!r} is neither a folder that exists nor a hub id such as "
            "Qwen/Qwen2.5-VL-3B-Instruct"
        ) from error
    except huggingface_hub.errors.GatedRepoError as error:
        raise CheckpointError(
            f"model {name!r} is gated; accept its terms on the hub and set HF_TOKEN"
        ) from error
    except huggingface_hub.errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"model {name!r} is not on the hub, or private; check the name, or set HF_TOKEN"
        ) from error
    except Exception as error:  # the hub's client raises its transport's own types
        raise CheckpointError(
            f"model {name!r} is neither a folder nor cached, and the hub cannot be reached "
            f"({_first_line(error)}); give a folder or connect to the network"
        ) from error


def _placement(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device!r} cannot be used: {_first_line(error)}") from error
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "bfloat16"
    return place, getattr(torch, dtype)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _stop_ids(network: Any, tokenizer: Any, end: int) -> tuple[int, ...]:
    configured = network.generation_config.eos_token_id
    ids = [*configured] if isinstance(configured, list) else [configured]
    ids += [end, tokenizer.eos_token_id]
    return tuple(sorted({i for i in ids if i is not None}))


def _named_profile(name: str) -> str | None:
    """The profile in `visionthink.json` of a local checkpoint, if it has that file."""
    path = Path(name) / "visionthink.json"
    if not path.is_file():
        return None
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))["profile"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'{path} must be JSON such as {{"profile": "agent"}}') from error
    if profile not in PROFILES:
        raise CheckpointError(
            f"{path} names profile {profile!r}; expected one of {', '.join(PROFILES)}"
        )
    return profile
