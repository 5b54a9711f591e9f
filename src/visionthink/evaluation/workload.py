"""What questions about images will cost, from sizes alone: tokens, FLOPs, memory, break-even.

Every question is about one image. Vanilla reads the original, down-sampling the half-size view, and
VisionThink that view first and, at a share p of the questions, the original after it. Costs are
counted as the ledger counts those of an episode; all are linear in p.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

from PIL import Image

from visionthink.core.errors import DataError, UsageError
from visionthink.core.images import (
    DEFAULT_LIMITS,
    FORMATS,
    IMAGE_SUFFIXES,
    Cells,
    Size,
    half_size,
)
from visionthink.core.ledger import (
    CHARACTERS_PER_TOKEN,
    TurnCost,
    Usage,
    pruned_paper_flops,
    pruned_text_flops,
    turn_cost,
)
from visionthink.core.profiles import Profile
from visionthink.data.image_refs import file_problem
from visionthink.evaluation.model_lookup import PlannedModel
from visionthink.evaluation.policies import PRUNINGS
from visionthink.pruning.cost import predict
from visionthink.pruning.methods import check_shape, parse_method

PLANNED_PRUNINGS = tuple(f"{name}:{kept}" for name in PRUNINGS for kept in (0.5, 0.7))
"""Policies shown beside ours, by the share of visual tokens that they keep."""
Measure = Literal["visual", "flops", "paper_flops"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
"""Fields of `Cost` that policies are compared by."""


@dataclass(frozen=True)
class Workload:
    """What is asked, in tokens.

    Attributes:
        images: (width, height) in pixels → how many questions are about an image of that size.
        text: of a question, system prompt and chat template included.
        reply: generated in a turn.
        requests: share p of the questions at which VisionThink requests the original.
        instructions: that VisionThink's prompt adds, before the image.
        response: around the original when it is delivered.
        cached: whether the server keeps prefixes. Then a later turn prefills only what is new, and
            the instructions, which are the same for every question, are prefilled once for all.
    """

    images: Mapping[Size, int]
    text: int = 70
    reply: int = 100
    requests: float = 0.3
    instructions: int = 0
    response: int = 0
    cached: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.requests <= 1:
            raise UsageError(f"the request rate must be from 0 to 1; got {self.requests:g}")
        for name in ("text", "reply", "instructions", "response"):
            if (value := getattr(self, name)) < 0:
                raise UsageError(f"{name} tokens must be at least 0; got {value}")
        if not self.images or min(self.images.values()) < 1:
            raise UsageError("a workload needs at least one image, and counts of at least 1")


def image_sizes(folder: Path) -> tuple[Counter[Size], list[str]]:
    """Sizes of the images in a folder and below it, and why others were left out.

    Only headers are read, without orientation tags: a turned image has as many tokens.

    Raises:
        DataError: the folder holds no usable image.
    """
    sizes: Counter[Size] = Counter()
    left_out: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if problem := file_problem(path, DEFAULT_LIMITS):
            left_out.append(f"{path}: {problem}")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                sizes[image.size] += 1
    if not sizes:
        why = f"; {left_out[0]}" if left_out else ""
        raise DataError(
            f"folder {str(folder)!r} holds no usable image ({', '.join(IMAGE_SUFFIXES)}){why}"
        )
    return sizes, left_out


def prompt_tokens(profile: Profile) -> tuple[int, int]:
    """About how many tokens a profile's instructions and its response to a request have."""
    instructions = profile.system + profile.user.replace("{image}", "").replace("{question}", "")
    response = profile.tool_response.replace("{image}", "")
    return len(instructions) // CHARACTERS_PER_TOKEN, len(response) // CHARACTERS_PER_TOKEN


@dataclass(frozen=True)
class Cost:
    """The cost of one question, or the mean over several.

    Attributes:
        visual: visual tokens processed; under pruning the average over the layers.
        flops: to prefill, vision tower included (`text_flops` and `Vision.flops`).
        paper_flops: to prefill, by the paper's formula, without the vision tower.
        context: tokens in the key-value cache at the end.
        generated: tokens.
    """

    visual: float
    flops: float
    paper_flops: float
    context: float
    generated: float


def mean_cost(weighted: Iterable[tuple[float, Cost]]) -> Cost:
    """The mean of costs by their weights."""
    weights, costs = zip(*weighted, strict=True)
    return Cost(*(fmean(column, weights) for column in zip(*map(astuple, costs), strict=True)))


@dataclass(frozen=True)
class Plan:
    """The mean cost of a question, by policy.

    Attributes:
        high: of vanilla.
        low: of down-sampling.
        direct: of VisionThink without a request.
        requested: of VisionThink with a request.
        pruned: of vanilla under the methods of `PLANNED_PRUNINGS` that fit the model.
        unfit: the other methods, and why they do not fit.
        longest: tokens of VisionThink's longest conversation.
    """

    high: Cost
    low: Cost
    direct: Cost
    requested: Cost
    pruned: Mapping[str, Cost]
    unfit: Mapping[str, str]
    longest: int

    def at(self, requests: float) -> Cost:
        """VisionThink's mean cost at a request rate."""
        return mean_cost([(1 - requests, self.direct), (requests, self.requested)])

    def ratio(self, cost: Cost, measure: Measure) -> float:
        """A cost over vanilla's."""
        return getattr(cost, measure) / getattr(self.high, measure)

    def break_even(self, measure: Measure) -> float:
        """The request rate below which VisionThink costs less than vanilla; 0 if it never does."""
        vanilla, direct, requested = (
            getattr(cost, measure) for cost in (self.high, self.direct, self.requested)
        )
        return max(0.0, (vanilla - direct) / (requested - direct))


def plan(model: PlannedModel, workload: Workload) -> Plan:
    """The costs of a workload. Raises ImageError: an image is too long and narrow."""
    unfit = _unfit(model)
    methods = [name for name in PLANNED_PRUNINGS if name not in unfit]
    questions = [
        (count, _question(model, workload, size, methods))
        for size, count in workload.images.items()
    ]
    means = {
        name: mean_cost((count, each[name]) for count, each in questions)
        for name in questions[0][1]
    }
    return Plan(
        **{name: means.pop(name) for name in ("high", "low", "direct", "requested")},
        pruned=means,
        unfit=unfit,
        longest=max(round(each["requested"].context) for _, each in questions),
    )


def _unfit(model: PlannedModel) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in PLANNED_PRUNINGS:
        try:
            check_shape(parse_method(name), model.shape)
        except UsageError as error:
            found[name] = str(error)
    return found


def _question(
    model: PlannedModel, workload: Workload, size: Size, methods: Sequence[str]
) -> dict[str, Cost]:
    """Costs of a question about one image."""
    high = model.grid.cells(size)
    low = model.grid.cells(half_size(size, model.grid))
    text, fixed = workload.text, workload.instructions

    def turn(image: Cells, prompt: int, cached: int = 0, earlier: Cells | None = None) -> TurnCost:
        usage = Usage(prompt, workload.reply, cached if workload.cached else 0)
        before = [earlier] if earlier else []
        return turn_cost(usage, images=[image], earlier_images=before, shape=model.shape)

    first = turn(low, fixed + text + _area(low), fixed)
    past = first.prompt_tokens + workload.reply
    second = turn(high, past + workload.response + _area(high), past, low)
    return {
        "high": _sum(turn(high, text + _area(high))),
        "low": _sum(turn(low, text + _area(low))),
        "direct": _sum(first),
        "requested": _sum(first, second),
        **{name: _pruned(name, model, workload, high) for name in methods},
    }


def _pruned(name: str, model: PlannedModel, workload: Workload, image: Cells) -> Cost:
    """Cost of the original under a pruning method; tokens are averages over the layers."""
    pruned = predict(parse_method(name), [image], workload.text, model.shape)
    return Cost(
        visual=sum(pruned.visual) / model.shape.layers,
        flops=pruned_text_flops(pruned, model.shape) + model.shape.vision.flops([image]),
        paper_flops=pruned_paper_flops(pruned, model.shape),
        context=sum(pruned.run) / model.shape.layers + workload.reply,
        generated=workload.reply,
    )


def _area(cells: Cells) -> int:
    return cells[0] * cells[1]


def _sum(*turns: TurnCost) -> Cost:
    return Cost(
        visual=sum(turn.visual_tokens for turn in turns),
        flops=sum(turn.prefill_flops or 0 for turn in turns),
        paper_flops=sum(turn.paper_prefill_flops or 0 for turn in turns),
        context=turns[-1].prompt_tokens + turns[-1].completion_tokens,
        generated=sum(turn.completion_tokens for turn in turns),
    )
