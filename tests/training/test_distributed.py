"""Two processes train like one: real ones, started by torchrun, over gloo on the CPU.

The policy's words are given (see `worker.py`), so that the same samples come up however the work is
shared out; losses, gradients and weights are those of the real model. What is left is the rounding
of float32 sums in another order: TOLERANCE bounds it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from training.launching import FSDP2, WORKER, torchrun
from training.worker import RATE, figures
from visionthink.engines.hf_checkpoint import load_checkpoint
from visionthink.mini import CHECKPOINTS

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
"""Relative, of gradient norms and losses; of weights it is the share of the largest change."""

Told = dict[str, list[dict[str, Any]]]


def told(folder: Path, names: tuple[str, ...], processes: int) -> Told:
    """Scenario → what each process said."""
    return {
        name: [
            json.loads((folder / f"{name}-{rank}.json").read_text(encoding="utf-8"))
            for rank in range(processes)
        ]
        for name in names
    }


def run_of_two(folder: Path, *names: str, **environment: str) -> Told:
    done = torchrun(WORKER, folder, *names, **environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return told(folder, names, 2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in ("one", "two", "sharded")}


@pytest.fixture(scope="module")
def two(folders: dict[str, Path]) -> Told:
    """All scenarios on two processes with whole copies of the weights."""
    return run_of_two(folders["two"], "straddling", "aligned", "resampled", "sampled", "apart")


@pytest.fixture(scope="module")
def sharded(folders: dict[str, Path]) -> Told:
    """The model's own samples, and a round in which one process has none, under FSDP2."""
    return run_of_two(folders["sharded"], "sampled", "apart", **FSDP2)


@pytest.fixture(scope="module")
def one(folders: dict[str, Path]) -> Told:
    """The same scenarios in this process alone."""
    names = ("straddling", "aligned", "resampled")
    return {name: [figures(name, folders["one"])] for name in names}


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{name}.pt")


def same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Equal up to a small share of what training changed, which is not nothing."""
    start = load_checkpoint(CHECKPOINTS / "mini-base", device="cpu").model.state_dict()
    assert ours.keys() == theirs.keys() == start.keys()
    changed = max(float((ours[key] - start[key]).abs().max()) for key in start)
    apart = max(float((ours[key] - theirs[key]).abs().max()) for key in start)
    assert changed > 1e-2 * RATE
    assert apart <= TOLERANCE * changed + 3e-7  # float32 near 4 is no finer


def same_losses(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    steps = [[log for log in told["logs"] if "loss" in log] for told in (ours, theirs)]
    assert steps[0]
    for left, right in zip(*steps, strict=True):
        for key in ("loss", "grad_norm", "kl"):
            assert left[key] == pytest.approx(right[key], rel=TOLERANCE, abs=1e-6), key


@pytest.mark.parametrize("name", ["straddling", "aligned", "resampled"])
def test_rewards_are_those_of_one_process(one: Told, two: Told, name: str):
    """Equal to the last bit on both: rewards with their control penalties, r, and advantages."""
    (alone,) = one[name]
    for key in ("rewards", "r", "shares"):
        assert [process[key] for process in two[name]] == [alone[key]] * 2
    for key in ("rows", "said"):
        assert two[name][0][key] + two[name][1][key] == alone[key]


def test_the_layouts_are_what_they_are_called(two: Told):
    """Six samples a process tear the second group of four apart; eight tear none."""
    (left, right) = (process["rows"] for process in two["straddling"])
    assert left[4:] == right[:2]
    (left, right) = (process["rows"] for process in two["aligned"])
    assert not set(left) & set(right)
    assert {0.0, 0.5} <= set(two["aligned"][0]["r"])  # both sides of the threshold


@pytest.mark.parametrize("name", ["straddling", "aligned", "resampled"])
def test_gradients_are_those_of_one_process(
    one: Told, two: Told, folders: dict[str, Path], name: str
):
    """Steps of plain gradient descent lead to the same weights."""
    for process in two[name]:
        same_losses(one[name][0], process)
    same_weights(weights(folders["one"], name), weights(folders["two"], name))


def test_groups_without_variance_are_drawn_anew_alike(one: Told, two: Told):
    """Rounds of two groups and of one, which lies on the second process alone: the first takes part
    with nothing. Both count three rounds and end with the same three teaching groups.
    """
    assert [process["rounds"] for process in two["resampled"]] == [3, 3]
    assert one["resampled"][0]["rounds"] == 3
    for process in two["resampled"]:
        assert process["logs"][0]["resample/groups"] == 3.0
        assert process["logs"][0]["episode/zero_variance_rate"] == 0.0
    rows = two["resampled"][0]["rows"] + two["resampled"][1]["rows"]
    assert all(len(set(rows[i : i + 4])) == 1 for i in range(0, 12, 4))


@pytest.mark.parametrize("name", ["sampled", "apart"])
def test_fsdp2_is_ddp(two: Told, sharded: Told, folders: dict[str, Path], name: str):
    """Same samples, losses, gradient norms and weights, with the model's weights in two halves."""
    for whole, half in zip(two[name], sharded[name], strict=True):
        assert (whole["sharded"], half["sharded"]) == (False, True)
        for key in ("rows", "said", "rewards", "shares"):
            assert whole[key] == half[key]
        same_losses(whole, half)
    ours, theirs = weights(folders["two"], name), weights(folders["sharded"], name)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=0, atol=1e-6)


def test_a_process_without_requests_keeps_step(sharded: Told):
    """In the second round of replies the first process had nothing to ask for, and the model
    generated on both all the same.
    """
    turns = [[len(said) for said in process["said"]] for process in sharded["apart"]]
    assert turns == [[1, 1, 1, 1], [2, 2, 2, 2]]
