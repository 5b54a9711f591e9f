"""The episode: first looks, then an answer or requests for further looks, then the answer.

This is the only multi-turn loop: asking, evaluation, labelling, serving and training all call
`run_episode`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from visionthink.core import protocol
from visionthink.core.actions import Problem, View
from visionthink.core.engine import Engine, EngineInfo
from visionthink.core.errors import UsageError
from visionthink.core.form import Form
from visionthink.core.format import format_valid
from visionthink.core.images import Cells, Picture, half_view
from visionthink.core.ledger import TurnCost, episode_ledger, turn_cost
from visionthink.core.profiles import Profile
from visionthink.core.protocol import Answer, Malformed, Reply, Request
from visionthink.core.types import (
    Call,
    Completion,
    Delivered,
    Episode,
    Example,
    Look,
    LookMode,
    Message,
    Outcome,
    Sampling,
    StopReason,
    Turn,
)

DEFAULT_PROFILE = "agent"
MAX_QUESTION_CHARACTERS = 20_000

Watch = Callable[[int, str], None]
"""Follows an episode: called with the number of the turn, from 0, and its text so far."""
Shown = Callable[[Sequence[Look]], None]
"""Follows an episode: called with the looks of each turn, before its reply is asked for."""


async def run_episode(
    example: Example,
    engine: Engine,
    *,
    look: LookMode = "auto",
    details: Sequence[LookMode] = (),
    profile: str | None = None,
    max_turns: int | None = None,
    sampling: Sampling | None = None,
    functions: Sequence[Mapping[str, Any]] = (),
    form: Form | None = None,
    streamed: bool = False,
    watch: Watch | None = None,
    shown: Shown | None = None,
) -> Episode:
    """Ask `engine` the example's question and see the episode through to its `StopReason`.

    Args:
        example: one or more images and a question.
        engine: what replies.
        look: "auto" shows the half-size view and delivers what is requested; "low" shows only the
            half-size view, "high" only the original, both without offering a request.
        details: a look for each image, where they differ; a request is offered if `look` is "auto",
            and shows more of the images with "auto" only.
        profile: name of the prompt profile; default: the one that the checkpoint names, else agent.
        max_turns: how many replies the model may give; default: as many as the profile says. A
            request in the last one cannot be served.
        sampling: how replies are drawn; greedy by default. Turn t draws with its own seed.
        functions: of the caller's, in OpenAI's form, that a server offers beside the request; a
            call of one of them ends the episode. The model gets one more turn to make it.
        form: that the answer must have; see `Form`.
        streamed: answers are passed on while they are written; see `parse_reply`.
        watch: called with each reply as it grows, where the engine streams, and at its end.
        shown: called with the looks of each turn (none after a failed call) before its reply.

    Raises:
        UsageError: an argument is wrong, or the question is empty or too long.
        EngineError: the engine could not reply.
    """
    check_question(example, look, profile, max_turns)
    sampling = sampling or Sampling()
    about = engine.about
    rules = protocol.profile_for(look, profile or about.profile or DEFAULT_PROFILE)
    if rules.tools and not about.takes_tools:
        raise UsageError(
            f"profile {rules.name!r} uses the tool format of a server, which {about.model!r} is "
            "not asked through; use another profile or --base-url"
        )
    originals, grid = example.images, about.grid
    limit = max_turns or rules.max_turns + bool(functions)
    details = details or (look,) * len(originals)
    first = tuple(
        picture if detail == "high" else half_view(picture, grid)
        for picture, detail in zip(originals, details, strict=True)
    )

    messages = _opening(rules, example, first)
    messages[0] = _with_functions(messages[0], functions)
    before = [View(each.image, each.picture, each.box) for each in example.delivered]
    views_of_first = [View(image, picture) for image, picture in enumerate(first)]
    looks = _looks(0, None, [*views_of_first, *before], about)
    turns: list[Turn] = []
    costs: list[TurnCost] = []
    while True:
        if shown is not None:
            shown([look for look in looks if look.turn == len(turns)])
        last_turn = len(turns) + 1 >= limit
        budget = _next_sampling(sampling, turns)
        heard = None if watch is None else partial(watch, len(turns))
        completion = await _reply(engine, messages, budget, heard)
        costs.append(_cost(completion, looks, len(turns), about))
        calls = _calls_of(completion, functions)
        if calls:
            stop, answer = StopReason.CALLED, protocol.before_calls(completion)
            turns.append(_turn(completion, "call"))
            messages.append(Message("assistant", (answer,), calls=calls))
            break
        reply = protocol.parse_reply(completion.text, rules, streamed=streamed)
        answer = protocol.final_answer(reply)
        note = reply.reason if isinstance(reply, Malformed) else ""
        turns.append(_turn(completion, protocol.outcome(reply), note))
        messages.append(protocol.said(rules, completion))

        views: tuple[View, ...] | Problem | None = None
        if isinstance(reply, Request) and not last_turn:
            views = _allowed(reply.action.views(originals, looks, grid), details, example.delivered)
        stop = _stop_reason(reply, completion, last_turn, isinstance(views, Problem), rules)
        if stop is None and _tokens_left(sampling, turns) == 0:
            # No token is left for another turn: what the reply holds must do.
            answered = isinstance(reply, Request) and reply.answer is not None
            stop = StopReason.ANSWERED if answered else StopReason.LENGTH
        if stop is not None:
            break
        call_id = next((call.id for call in messages[-1].calls), "")
        if isinstance(reply, Request) and isinstance(views, tuple):
            looks += _looks(len(turns), reply.action.name, views, about)
            pictures = [view.picture for view in views]
            messages.append(protocol.tool_response(rules, pictures, call_id))
        else:
            error = reply.reason if isinstance(reply, Malformed) else cast(Problem, views).text
            message = protocol.tool_error(rules, error, call_id)
            # _stop_reason ends the episode where the profile has no error message.
            assert message is not None  # noqa: S101
            messages.append(message)

    replies = [turn.text for turn in turns]
    formed = answer if form is None or calls else await asyncio.to_thread(form.read, answer)
    answer = answer if formed is None else formed
    if form is not None and formed is None:
        asked = _guided_messages(messages, form)
        drawn = replace(sampling, extra={**sampling.extra, **_guided_fields(asked, form)})
        heard = None if watch is None else partial(watch, len(turns))
        completion = await _reply(engine, asked, drawn, heard)
        answer = protocol.split_plain(completion.text)[1].strip()
        stop = StopReason.LENGTH if completion.finish == "length" else StopReason.ANSWERED
        costs.append(_cost(completion, looks, len(turns), about))
        turns.append(_turn(completion, "guided"))
        messages = [*asked, protocol.said(rules, completion)]

    return Episode(
        example=example,
        look=look,
        profile=rules.name,
        model=about.model,
        answer=answer,
        stop_reason=stop,
        format_valid=format_valid(replies, rules),
        messages=tuple(messages),
        turns=tuple(turns),
        looks=tuple(looks),
        ledger=episode_ledger(
            first=_cells([*first, *(each.picture for each in example.delivered)], about),
            vanilla=_cells(originals, about),
            turns=costs,
            shape=about.shape,
        ),
        calls=calls,
    )


def check_question(
    example: Example, look: LookMode, profile: str | None, max_turns: int | None
) -> None:
    """Raise UsageError if `run_episode` would; cheap, so it can come before loading a model.

    Without `profile` the checkpoint's own is not known yet, so only the look is checked.
    """
    protocol.profile_for(look, profile or DEFAULT_PROFILE)
    if not example.images and not (example.conversation and look == "high"):
        raise UsageError("an example needs at least one image; got none")
    if not example.question.strip() and not example.conversation:
        raise UsageError("the question is empty; ask something about the image")
    if any("\ud800" <= char <= "\udfff" for char in example.question):
        raise UsageError("the question holds bytes that are no text; write it in UTF-8")
    if len(example.question) > MAX_QUESTION_CHARACTERS and not example.conversation:
        raise UsageError(
            f"the question has {len(example.question):,} characters; "
            f"at most {MAX_QUESTION_CHARACTERS:,} are allowed, shorten it"
        )
    if max_turns is not None and max_turns < 1:
        raise UsageError(f"max_turns must be at least 1; got {max_turns}")


def _with_functions(message: Message, functions: Sequence[Mapping[str, Any]]) -> Message:
    """The first message, offering the caller's functions after ours."""
    if not functions:
        return message
    ours: list[Any] = json.loads(message.tools) if message.tools else []
    return replace(message, tools=json.dumps([*ours, *functions], ensure_ascii=False))


def _calls_of(completion: Completion, functions: Sequence[Mapping[str, Any]]) -> tuple[Call, ...]:
    """The calls of the caller's functions in a reply."""
    names = [function.get("function", {}).get("name") for function in functions]
    return tuple(call for call in completion.calls if call.name in names)


def _guided_messages(messages: Sequence[Message], form: Form) -> list[Message]:
    """What was said, without a call that nobody answered, and the words that ask for the form."""
    kept = messages[:-1] if messages[-1].calls else messages
    return [*kept, Message("user", (form.words,))]


def _guided_fields(messages: Sequence[Message], form: Form) -> dict[str, Any]:
    return {**form.fields, **({"tool_choice": "none"} if messages[0].tools else {})}


def _allowed(
    views: tuple[View, ...] | Problem,
    details: Sequence[LookMode],
    delivered: Sequence[Delivered],
) -> tuple[View, ...] | Problem:
    """Those of images that the caller leaves to the model, and that it does not see already."""
    if isinstance(views, Problem):
        return views
    seen = {(each.image, each.box, each.picture.size) for each in delivered}
    left = tuple(
        view
        for view in views
        if details[view.image] == "auto" and (view.image, view.box, view.picture.size) not in seen
    )
    return left or Problem("there is no closer look at this image: it is shown already")


def _opening(profile: Profile, example: Example, first: Sequence[Picture]) -> list[Message]:
    """What is said before the first reply, with the first looks in place of the originals."""
    if not example.conversation:
        return list(protocol.opening(profile, first, example.question))
    views = dict(zip(example.images, first, strict=True))
    shown = [
        message
        if message.verbatim
        else replace(
            message, parts=tuple(p if isinstance(p, str) else views[p] for p in message.parts)
        )
        for message in example.conversation
    ]
    return list(protocol.conversation(profile, shown))


async def _reply(
    engine: Engine,
    messages: Sequence[Message],
    sampling: Sampling,
    heard: Callable[[str], None] | None,
) -> Completion:
    if heard is None:
        return await engine.generate(messages, sampling)
    last: list[str] = []

    def hear(text: str) -> None:
        last[:] = [text]
        heard(text)

    completion = await engine.stream(messages, sampling, hear)
    if last != [completion.text]:  # calls that a server took out come at the end
        heard(completion.text)
    return completion


def _tokens_left(sampling: Sampling, turns: Sequence[Turn]) -> int | None:
    """What is left of the episode's token limit; None without one."""
    if sampling.max_episode_tokens is None:
        return None
    used = sum(turn.usage.completion_tokens for turn in turns)
    return max(0, sampling.max_episode_tokens - used)


def _next_sampling(sampling: Sampling, turns: Sequence[Turn]) -> Sampling:
    left = _tokens_left(sampling, turns)
    return replace(
        sampling,
        max_tokens=sampling.max_tokens if left is None else min(sampling.max_tokens, left),
        seed=sampling.seed + 1_000_003 * len(turns),
    )


def _stop_reason(
    reply: Reply, completion: Completion, last_turn: bool, refused: bool, profile: Profile
) -> StopReason | None:
    """Why the episode ends after this reply; None if it continues."""
    match reply:
        case Answer(closed=closed):
            cut = completion.finish == "length" and not closed
            return StopReason.LENGTH if cut else StopReason.ANSWERED
        case Request(answer=answer):
            # A refused request gets an error message, where the profile has one.
            if not last_turn and (not refused or profile.tool_error is not None):
                return None
            return StopReason.OUT_OF_TURNS if answer is None else StopReason.ANSWERED
        case Malformed(failed_call=failed_call):
            if completion.finish == "length":
                return StopReason.LENGTH
            retries = failed_call and not last_turn and profile.tool_error is not None
            return None if retries else StopReason.MALFORMED


def _looks(turn: int, action: str | None, views: Sequence[View], about: EngineInfo) -> list[Look]:
    """The facts of what is shown before reply number `turn`."""
    return [
        Look(
            turn=turn,
            image=view.image,
            action=action,
            box=view.box,
            size=about.grid.seen_size(view.picture.size, view.picture.budget),
            visual_tokens=math.prod(view.picture.cells(about.grid)),
            picture=view.picture,
        )
        for view in views
    ]


def _turn(completion: Completion, outcome: Outcome, note: str = "") -> Turn:
    return Turn(
        text=completion.text,
        outcome=outcome,
        usage=completion.usage,
        note=note,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
    )


def _cost(completion: Completion, looks: Sequence[Look], turn: int, about: EngineInfo) -> TurnCost:
    """Cost of reply number `turn`, the last so far."""
    return turn_cost(
        completion.usage,
        images=_cells([look.picture for look in looks if look.turn == turn], about),
        earlier_images=_cells([look.picture for look in looks if look.turn < turn], about),
        shape=about.shape,
    )


def _cells(pictures: Sequence[Picture], about: EngineInfo) -> list[Cells]:
    return [picture.cells(about.grid) for picture in pictures]
