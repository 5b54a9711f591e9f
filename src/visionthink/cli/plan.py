"""`visionthink plan`: what a workload will cost, and whether a small first look pays off."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from visionthink.core.errors import UsageError
from visionthink.core.images import Size, half_size, visual_tokens
from visionthink.core.ledger import BYTES
from visionthink.core.profiles import PROFILES
from visionthink.evaluation.model_lookup import PlannedModel, find_model
from visionthink.evaluation.table import aligned, percent
from visionthink.evaluation.workload import (
    MEASURES,
    Cost,
    Measure,
    Plan,
    Workload,
    image_sizes,
    plan,
    prompt_tokens,
)
from visionthink.mini import EMBEDDED

RATES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
NAMES = {"high": "vanilla", "low": "down-sample", "auto": "VisionThink"}
"""Names of policies for people."""
HEADS: dict[Measure, str] = {
    "visual": "visual tokens",
    "flops": "prefill FLOPs",
    "paper_flops": "by paper's formula",
}
ASSUMED_SIZE = "1024x1024"


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="Qwen/Qwen2.5-VL-7B-Instruct",
    show_default=True,
    metavar="NAME",
    help="Qwen2.5-VL-3B to 72B, Qwen3-VL-2B to 32B, an embedded one, or a folder with config.json.",
)
@click.option(
    "--image-size",
    "sizes",
    multiple=True,
    metavar="WxH[:COUNT]",
    help=f"Questions are about an image of this size (COUNT of them); may be repeated. "
    f"[default: {ASSUMED_SIZE}]",
)
@click.option(
    "--text-tokens",
    "text",
    type=int,
    default=70,
    show_default=True,
    help="Text tokens of a question.",
)
@click.option(
    "--reply-tokens",
    "reply",
    type=int,
    default=100,
    show_default=True,
    help="Tokens generated in a turn.",
)
@click.option(
    "--request-rate",
    "requests",
    type=float,
    default=0.3,
    show_default=True,
    metavar="P",
    help="Share of the questions for which VisionThink requests the original, 0 to 1.",
)
@click.option(
    "--profile",
    type=click.Choice([name for name, profile in PROFILES.items() if profile.can_request]),
    help="VisionThink's prompts. [default: mini for embedded models, else agent]",
)
@click.option(
    "--no-prefix-cache",
    is_flag=True,
    help="Assume that the server prefills every prompt from its start.",
)
@click.option("--max-pixels", type=int, help="Shrink images to at most this many pixels.")
@click.option(
    "--dtype",
    type=click.Choice(list(BYTES)),
    default="bfloat16",
    show_default=True,
    help="Of the weights and the KV cache.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(
    folder: Path | None,
    model: str,
    sizes: tuple[str, ...],
    profile: str | None,
    no_prefix_cache: bool,
    max_pixels: int | None,
    dtype: str,
    as_json: bool,
    **asked: Any,
) -> None:
    """Predict what questions about images will cost, and when a small first look pays off.

    The images are those in FOLDER, of which only headers are read, or have the sizes given. Every
    figure is computed from sizes: no weights, network or GPU needed.

    \b
    Examples:
      visionthink plan photos --model Qwen3-VL-8B --request-rate 0.2
      visionthink plan --image-size 1280x960 --image-size 640x480:3
    """  # noqa: D301 - the character keeps line breaks in click
    planned = find_model(model, max_pixels)
    images, left_out = _images(folder, sizes)
    chosen = profile or ("mini" if model in EMBEDDED else "agent")
    instructions, response = prompt_tokens(PROFILES[chosen])
    workload = Workload(
        images, **asked, instructions=instructions, response=response, cached=not no_prefix_cache
    )
    found = plan(planned, workload)
    if as_json:
        fields = _json(planned, workload, found, BYTES[dtype])
        click.echo(json.dumps({**fields, "left_out": left_out}, ensure_ascii=False))
        return
    click.echo(_text(planned, workload, found, dtype))
    if left_out:
        click.echo(f"Note: images left out: {len(left_out):,}, the first: {left_out[0]}", err=True)


def _images(folder: Path | None, sizes: Sequence[str]) -> tuple[Counter[Size], list[str]]:
    """Sizes and how many questions are about each, and which files of the folder were left out."""
    if folder is not None:
        if sizes:
            raise UsageError("give a FOLDER of images or --image-size, not both")
        if not folder.is_dir():
            raise UsageError(f"FOLDER must be a folder of images; {str(folder)!r} is not a folder")
        return image_sizes(folder)
    images: Counter[Size] = Counter()
    for text in sizes or [ASSUMED_SIZE]:
        found = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6})(?::([1-9]\d{0,8}))?", text)
        if found is None:
            raise UsageError(
                "--image-size must be WIDTHxHEIGHT or WIDTHxHEIGHT:COUNT, such as 1280x720:3; "
                f"got {text!r}"
            )
        images[int(found[1]), int(found[2])] += int(found[3] or 1)
    return images, []


# For people


def _text(model: PlannedModel, workload: Workload, found: Plan, dtype: str) -> str:
    element, rate = BYTES[dtype], workload.requests
    kv_bytes = model.kv_bytes(element)
    other = plan(model, replace(workload, cached=not workload.cached))
    with_cache, without = (found, other) if workload.cached else (other, found)
    kept = "kept by the prefix cache" if workload.cached else "prefilled each time"
    lines = [
        f"model      {model.name}: {_si(model.parameters).replace('G', 'B')} parameters, "
        f"{_si(model.parameters * element)}B of weights in {dtype}",
        f"images     {_image_text(model, workload.images)}",
        f"question   {workload.text:,} text tokens, replies of {workload.reply:,}; VisionThink's "
        f"instructions add about {workload.instructions:,}, {kept}",
        "",
        aligned(_policies(found, rate, kv_bytes)),
        "",
        aligned(_rates(found)),
        "",
        f"With a prefix cache: {_verdict(with_cache, rate)}",
        f"Without one: {_verdict(without, rate)}",
        f"A request means a second reply: {found.at(rate).generated:,.0f} generated tokens a "
        f"question, where vanilla has {found.high.generated:,.0f}.",
        f"The longest conversation keeps {found.longest:,} tokens, "
        f"{_si(found.longest * kv_bytes)}B of KV cache.",
        "Computed from sizes, not measured. FLOPs are not seconds, and generation comes on top;",
        "the paper's formula leaves out the vision tower and grouped-query attention.",
        "Pruned visual tokens are averages over the layers.",
        *_left_out(found.unfit),
    ]
    return "\n".join(lines)


def _left_out(unfit: Mapping[str, str]) -> list[str]:
    """A line for each reason, with all methods that it rules out."""
    names: dict[str, list[str]] = {}
    for name, why in unfit.items():
        names.setdefault(why.replace(name, name.partition(":")[0]), []).append(name)
    return [f"Left out, {', '.join(of)}: {why}" for why, of in names.items()]


def _image_text(model: PlannedModel, images: Mapping[Size, int]) -> str:
    def text(size: Size) -> str:
        high, low = (visual_tokens(s, model.grid) for s in (size, half_size(size, model.grid)))
        return f"{size[0]}x{size[1]} ({high:,} visual tokens, {low:,} at half size)"

    ends = sorted(images, key=math.prod)
    if len(ends) == 1:
        return f"{images[ends[0]]:,} of {text(ends[0])}"
    count = f"{sum(images.values()):,} of {len(images):,} sizes"
    return f"{count}, {text(ends[0])} to {text(ends[-1])}"


def _policies(found: Plan, rate: float, kv_bytes: int) -> list[list[str]]:
    heads = ["mean of a question", "visual tokens", "of vanilla", "prefill FLOPs", "of vanilla"]
    rows = [[*heads, "by paper", "KV cache"]]
    for policy, cost in _costs(found, rate).items():
        visual, flops, paper = (percent(found.ratio(cost, measure)) for measure in MEASURES)
        name = NAMES.get(policy, policy) + (f" at {rate:.3g}" if policy == "auto" else "")
        tokens, kept = f"{cost.visual:,.0f}", _si(cost.context * kv_bytes) + "B"
        rows.append([name, tokens, visual, _si(cost.flops), flops, paper, kept])
    return rows


def _rates(found: Plan) -> list[list[str]]:
    rows = [[f"{NAMES['auto']} at", *(f"{rate:g}" for rate in RATES), "pays below"]]
    for measure in MEASURES:
        ratios = [percent(found.ratio(found.at(rate), measure)) for rate in RATES]
        rows.append([HEADS[measure], *ratios, f"{found.break_even(measure):.2f}"])
    return rows


def _verdict(found: Plan, rate: float) -> str:
    """One sentence on whether requests pay off, by exact FLOPs."""
    saved = 1 - found.ratio(found.at(rate), "flops")
    even = found.break_even("flops")
    pays = f"it pays off below a rate of {even:.2f}" if even > 0 else "it never pays off"
    less = f"{percent(abs(saved))} {'fewer' if saved >= 0 else 'more'}"
    return f"{less} prefill FLOPs than vanilla at a request rate of {rate:.3g}; {pays}."


def _si(value: float) -> str:
    """A number with the prefix of its thousands: 8.29 G."""
    prefixes = ("", "k", "M", "G", "T", "P", "E")
    power = min(len(prefixes) - 1, int(math.log10(max(value, 1)) // 3))
    return f"{value / 1000**power:.3g} {prefixes[power]}"


def _costs(found: Plan, rate: float) -> dict[str, Cost]:
    """By the names that `eval` has for policies."""
    return {"high": found.high, "low": found.low, "auto": found.at(rate), **found.pruned}


# For machines


def _json(model: PlannedModel, workload: Workload, found: Plan, element: int) -> dict[str, Any]:
    kv_bytes = model.kv_bytes(element)

    def figures(cost: Cost) -> dict[str, Any]:
        return {
            "visual_tokens": cost.visual,
            "visual_token_ratio": found.ratio(cost, "visual"),
            "prefill_flops": cost.flops,
            "flops_ratio": found.ratio(cost, "flops"),
            "paper_prefill_flops": cost.paper_flops,
            "paper_flops_ratio": found.ratio(cost, "paper_flops"),
            "context_tokens": cost.context,
            "generated_tokens": cost.generated,
            "kv_bytes": cost.context * kv_bytes,
        }

    images = [
        {
            "size": [*size],
            "count": count,
            "visual_tokens": visual_tokens(size, model.grid),
            "visual_tokens_at_half_size": visual_tokens(half_size(size, model.grid), model.grid),
        }
        for size, count in workload.images.items()
    ]
    costs = _costs(found, workload.requests)
    return {
        "model": model.name,
        "parameters": model.parameters,
        "weight_bytes": model.parameters * element,
        "kv_bytes_per_token": kv_bytes,
        "longest_tokens": found.longest,
        "workload": {**asdict(workload), "images": images},
        "policies": [{"policy": name, **figures(cost)} for name, cost in costs.items()],
        "unfit": dict(found.unfit),
        "by_request_rate": [{"request_rate": rate, **figures(found.at(rate))} for rate in RATES],
        "break_even": {
            "visual_tokens": found.break_even("visual"),
            "prefill_flops": found.break_even("flops"),
            "paper_prefill_flops": found.break_even("paper_flops"),
        },
    }
