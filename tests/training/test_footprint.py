"""The estimate: exact counts of parameters, and figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoints import save_qwen2_5_vl
from visionthink.core.errors import UsageError
from visionthink.core.families import QwenGrid
from visionthink.engines.hf_checkpoint import load_checkpoint
from visionthink.training.config import LoraOptions, ModelOptions, TrainConfig, load_config
from visionthink.training.footprint import Figure, estimate
from visionthink.training.sizes import model_sizes


def figures(config: TrainConfig, processes: int, size: tuple[int, int]) -> dict[str, float]:
    return {figure.name: figure.value for figure in estimate(config, processes, size)}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808),
    ],
)
def test_parameter_counts_are_those_of_the_hub(name: str, parameters: int):
    """The totals that the hub shows for the safetensors files of these checkpoints."""
    assert model_sizes(ModelOptions(name=name)).parameters == parameters


def test_parameters_of_a_folder_are_those_of_the_loaded_model(tmp_path: Path):
    checkpoint = load_checkpoint(save_qwen2_5_vl(tmp_path), device="cpu")
    sizes = model_sizes(ModelOptions(name=str(tmp_path)))
    assert sizes.parameters == sum(p.numel() for p in checkpoint.model.parameters())
    assert (sizes.shape, sizes.grid) == (checkpoint.shape, checkpoint.grid)
    frozen = model_sizes(ModelOptions(name=str(tmp_path), freeze_vision=True))
    eyes = sum(p.numel() for p in checkpoint.model.model.visual.parameters())
    assert frozen.trainable == sizes.parameters - eyes
    bounded = model_sizes(ModelOptions(name=str(tmp_path), max_pixels=9999)).grid
    assert isinstance(bounded, QwenGrid)
    assert bounded.max_pixels == 9999


def test_parameters_of_adapters(tmp_path: Path):
    """hidden 128, heads 4 and 2 of 32, mlp 192, 2 layers; an adapter on a (n, m) matrix adds
    r (n + m): q 128+128, k 128+64, v 128+64, o 128+128, gate 128+192, up 128+192, down 192+128:
    1856 a layer, so 2 x 1856 x 4 = 14848 at r = 4.
    """
    name = str(save_qwen2_5_vl(tmp_path))
    sizes = model_sizes(ModelOptions(name=name, lora=LoraOptions(r=4)))
    assert sizes.adapters == sizes.trainable == 14848


def test_a_model_of_unknown_size_is_refused():
    with pytest.raises(UsageError, match="the sizes of model 'some/thing' are not known here"):
        model_sizes(ModelOptions(name="some/thing"))


def test_the_paper_s_figures_on_32_gpus():
    """7B in float32, images of 1120 x 1120: 40 x 40 = 1600 cells, half 20 x 20 = 400; mean at half
    requests 1200. 8192 / 32 = 256 samples a process; 1 cell is 4 patches of 2 x 3 x 14 x 14 = 1176.
    """
    found = figures(load_config("qwen2.5-vl-7b-paper", ["model.dtype=float32"]), 32, (1120, 1120))
    assert found["weights"] == 4 * 8_292_166_656
    assert found["gradients"] == 4 * 8_292_166_656
    assert found["optimizer"] == 8 * 8_292_166_656
    assert found["reference model"] == 4 * 8_292_166_656
    assert found["visual tokens, first look"] == 400
    assert found["visual tokens, original"] == 1600
    assert found["visual tokens, mean"] == 1200
    assert found["samples of a generation"] == 8192
    assert found["optimizer steps of a generation"] == 16
    assert found["samples of an optimizer step"] == 512
    assert found["pixel values on the host"] == 256 * 1200 * 4 * 1176 * 4
    assert found["reply tokens of a generation"] == 8192 * 1.5 * 2048


def test_adapters_and_beta_0_need_no_reference_model():
    """Adapters are switched off for the reference; without KL there is none."""
    lora = load_config("qwen2.5-vl-3b-lora-1gpu")
    assert figures(lora, 1, (560, 560))["reference model"] == 0
    free = load_config("mini", ["trainer.beta=0"])
    assert figures(free, 1, (112, 112))["reference model"] == 0


def test_learning_is_forward_times_passes():
    """One update a generation: 1 forward, 2 backward, 1 reference, nothing old to compare with;
    with two updates the old log-probabilities are one pass more.
    """
    one = figures(load_config("mini"), 1, (112, 112))
    assert one["learning of an optimizer step"] == 128 * one["forward of a sample"] * 4
    two = figures(load_config("mini", ["batch.prompts=16"]), 1, (112, 112))
    assert two["learning of an optimizer step"] == 128 * two["forward of a sample"] * 5


def test_the_general_model_sees_full_size_only():
    found = figures(load_config("general-qa"), 32, (1120, 1120))
    assert found["visual tokens, first look"] == 1600
    assert "visual tokens, original" not in found


def test_figures_of_sft():
    """16 conversations a step on one process, 32 on two."""
    found = figures(load_config("mini-cold-start"), 2, (112, 112))
    assert found["conversations of an optimizer step"] == 32
    assert found["learning of an optimizer step"] == 32 * found["forward of a conversation"] * 3
    assert "reference model" not in found


def test_image_sizes_come_from_the_data_if_it_is_available():
    [line] = [f for f in estimate(load_config("mini"), 1) if f.name == "visual tokens, first look"]
    assert line.formula.endswith("image of the mean area of the first 16")
    [line] = [
        f
        for f in estimate(load_config("qwen2.5-vl-7b-paper"), 32)
        if f.name == "visual tokens, first look"
    ]
    assert line.formula.endswith("image assumed: the data is not available")


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="not a multiple of 96"):
        estimate(load_config("mini"), 3, (112, 112))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8_292_166_656, "B", "8.29 GB"),
        (0, "B", "0 B"),
        (1.5e16, "FLOP", "15 PFLOP"),
        (8192, "", "8,192"),
        (21.5, "", "21.5"),
    ],
)
def test_figures_are_rounded_with_units(value: float, unit: str, text: str):
    assert str(Figure("name", value, unit, "x")).split("  = ")[0].split(maxsplit=1)[1] == text
