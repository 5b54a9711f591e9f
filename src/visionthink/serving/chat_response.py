"""From an episode to what goes over the wire: a chat completion, whole or in chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from visionthink.core.images import Picture
from visionthink.core.partial import answer_so_far, thought_so_far
from visionthink.core.profiles import Profile
from visionthink.core.protocol import split_plain
from visionthink.core.types import Episode, Look, StopReason
from visionthink.runs.records import episode_record, look_record


def response_head(model: str) -> dict[str, Any]:
    """What all chunks of one response share; `model` is the name in the request."""
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


def completion(
    head: Mapping[str, Any],
    episodes: Sequence[Episode],
    profile: Profile,
    stop: Sequence[str],
    trace: bool,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The response to a request that does not stream; each episode is a choice."""
    return {
        **head,
        "object": "chat.completion",
        "choices": [_choice(n, episode, profile, stop) for n, episode in enumerate(episodes)],
        "usage": usage(episodes, notes),
        "visionthink": all_details(episodes, trace),
    }


def _choice(number: int, episode: Episode, profile: Profile, stop: Sequence[str]) -> dict[str, Any]:
    answer, finish = answer_of(episode, stop)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer if answer or not episode.calls else None,
        "refusal": None,
        "reasoning_content": reasoning(_free_turns(episode), profile),
    }
    if episode.calls:
        message["tool_calls"] = tool_calls(episode)
    logprobs = answer_logprobs(episode)
    return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _free_turns(episode: Episode) -> list[str]:
    return [turn.text for turn in episode.turns if turn.outcome != "guided"]


def chunk(
    head: Mapping[str, Any],
    delta: dict[str, Any],
    finish: str | None = None,
    *,
    index: int = 0,
    logprobs: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A piece of a streamed response."""
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return {**head, "object": "chat.completion.chunk", "choices": [choice], **more}


def usage_chunk(
    head: Mapping[str, Any], episodes: Sequence[Episode], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The last chunk where the client asked for the usage; it has no choice."""
    said = usage(episodes, notes)
    return {**head, "object": "chat.completion.chunk", "choices": [], "usage": said}


def answer_logprobs(episode: Episode) -> Mapping[str, Any] | None:
    """What the upstream says of the tokens of the answer, where it was asked to."""
    said = episode.turns[-1].logprobs if episode.turns else None
    tokens = said.get("content") if said else None
    if said is None or not isinstance(tokens, list):
        return said
    texts = [str(token.get("token", "")) if isinstance(token, dict) else "" for token in tokens]
    begin = "".join(texts).rfind(episode.answer)
    if begin < 0:
        return said
    end, at, kept = begin + len(episode.answer), 0, []
    for token, text in zip(tokens, texts, strict=True):
        if at < end and at + len(text) > begin:
            kept.append(token)
        at += len(text)
    return {**said, "content": kept}


def answer_of(episode: Episode, stop: Sequence[str]) -> tuple[str, str]:
    """The bare answer up to the first stop sequence, and the finish reason."""
    answer, stopped = until_stop(episode.answer, stop)
    if episode.calls:
        return answer, "tool_calls"
    cut = episode.stop_reason is StopReason.LENGTH and not stopped
    return answer, "length" if cut else "stop"


def until_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text up to the first stop sequence, and whether there is one."""
    ends = [place for each in stop if (place := text.find(each)) >= 0]
    return text[: min(ends, default=len(text))], bool(ends)


def tool_calls(episode: Episode) -> list[dict[str, Any]]:
    """The calls of the client's functions, in OpenAI's form."""
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in episode.calls
    ]


def so_far(
    turns: Sequence[str], profile: Profile, stop: Sequence[str], guided: bool | None
) -> dict[str, str]:
    """What a stream may send while the last of `turns` grows; each text only grows at its end.

    Args:
        turns: the replies so far.
        profile: how they are read.
        stop: sequences that end the answer.
        guided: with a form to keep, whether the last turn is the one that keeps it: the others'
            answers are held back until they are checked. None: there is no form.
    """
    answer = ""
    free = turns[:-1] if guided else turns
    if turns and guided:
        answer = split_plain(turns[-1])[1].strip()
    elif turns and guided is None:
        answer = answer_so_far(turns[-1], profile)
    answer, stopped = until_stop(answer, stop)
    if not stopped and stop:  # the beginning of a stop sequence is held back
        answer = answer[: max(len(answer) - max(map(len, stop)) + 1, 0)]
    return {"reasoning_content": reasoning(free, profile), "content": answer}


def looks_with_pictures(
    looks: Sequence[Look], originals: Sequence[Picture]
) -> list[dict[str, Any]]:
    """Looks with what the model was shown as data URLs; null: the client's own image. Blocks."""
    return [
        {
            **look_record(look),
            "picture": None if look.picture in originals else look.picture.data_url(),
        }
        for look in looks
    ]


def reasoning(turns: Sequence[str], profile: Profile) -> str:
    """The thoughts of the turns, as far as they cannot change any more."""
    thoughts = [thought_so_far(text, profile) for text in turns]
    return "\n\n".join(thought for thought in thoughts if thought)


def usage(episodes: Sequence[Episode], notes: Sequence[str] = ()) -> dict[str, Any]:
    """Sums over all choices and turns: each later prompt contains the earlier ones again.

    `notes` say what of the request was not seen.
    """
    ledgers = [episode.ledger for episode in episodes]

    def total(name: str) -> int:
        return sum(getattr(ledger, name) for ledger in ledgers)

    prompt, generated = total("prompt_tokens"), total("completion_tokens")
    visual = {name: total(name) for name in ("first", "requested", "processed", "vanilla")}
    ratio = visual["processed"] / visual["vanilla"] if visual["vanilla"] else 1.0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {
            "cached_tokens": total("cached_tokens"),
            "image_tokens": sum(sum(image_tokens(episode)) for episode in episodes),
        },
        "visionthink": {
            "requested": any(episode.requested for episode in episodes),
            **({"notes": list(notes)} if notes else {}),
            **({"guided": True} if any(_guided(episode) for episode in episodes) else {}),
            "visual_tokens": visual,
            "saved_ratio": round(1 - ratio, 4),
        },
    }


def image_tokens(episode: Episode) -> list[int]:
    """Visual tokens in the prompt of each turn: those of earlier turns stand in it again."""
    numbers = range(len(episode.turns))
    return [sum(look.visual_tokens for look in episode.looks if look.turn <= n) for n in numbers]


def miscounted(episode: Episode) -> tuple[int, int] | None:
    """What an upstream counted and what we did, in the first turn where they differ; None: nowhere,
    or it does not count.
    """
    for turn, ours in zip(episode.turns, image_tokens(episode), strict=True):
        theirs = turn.usage.image_tokens
        if theirs is not None and theirs != ours:
            return theirs, ours
    return None


def _guided(episode: Episode) -> bool:
    return episode.turns[-1].outcome == "guided"


def all_details(episodes: Sequence[Episode], trace: bool) -> dict[str, Any]:
    """The field `visionthink` of a response: the first choice's; `choices` where there are more."""
    first = details(episodes[0], trace)
    more = [details(episode, trace) for episode in episodes]
    return first | ({"choices": more} if len(more) > 1 else {})


def details(episode: Episode, trace: bool) -> dict[str, Any]:
    """The field `visionthink`: looks and how it ended; with `trace`, all turns word for word."""
    record = episode_record(episode)
    names = ("look", "stop_reason", "format_valid", "looks", *(("profile", "turns") * trace))
    facts = {name: record[name] for name in names}
    return facts | ({"upstream_model": episode.model} if trace else {})
