"""The protocol: the messages to the model, and what its replies mean. No other module knows it.

The prompts are in `core/profiles.py`, what may be requested in `core/actions/`. A reply is exactly
one of `Answer`, `Request` or `Malformed`, whatever the text; `parse_reply` never raises. How
unusual replies are read:

- *A request inside a closed think element* is thought, not action. An unclosed think element ends
  where the first answer or tool call begins.
- *Answer and request in one turn*: the request counts, since the model says it cannot see enough;
  the answer is kept beside it and used only when no turn is left to serve the request.
- *Several answers*: the last. *Several calls*: the first valid one.
- *Unclosed answer or call at the end of the text*: treated as closed there; a partial closing tag
  is dropped.
- *Extra keys in the call's JSON* are ignored; arguments that are themselves a JSON string are read.
- *No opening think tag*: the text before the first closing one is thought (some chat templates put
  the opening tag into the prompt).
- *No tags at all*: the text outside the think element is the answer (untrained models do this).
- *A call where the profile offers no tool* is malformed, if there is no answer beside it.

All of these except extra keys and arguments as a string fail the strict check of `core/format.py`,
which the reward of training uses, so a trained model has no reason to produce them. A reply to a
plain profile is the answer, after a think element if it starts with one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from visionthink.core.actions import ACTIONS, Action, Original, Problem
from visionthink.core.actions.action import quoted
from visionthink.core.errors import UsageError
from visionthink.core.families import plain_text
from visionthink.core.images import Picture
from visionthink.core.profiles import PROFILES, Plain, Profile, Tagged
from visionthink.core.types import LOOK_MODES, Completion, LookMode, Message, Part

THINK = ("<think>", "</think>")
ANSWER = ("<answer>", "</answer>")
CALL = ("<tool_call>", "</tool_call>")
RESPONSE = ("<tool_response>", "</tool_response>")
RESIZE = "<resize>"  # what requests in the profiles with a marker
TAGS = (*THINK, *ANSWER, *CALL, *RESPONSE)

ANNOUNCED = 160
"""Characters that a model may say before it calls a function: "Let me look at that more closely."
"""

ORIGINAL = Original()


@dataclass(frozen=True)
class Answer:
    """The reply answers. `closed` is false when no closing answer tag was seen."""

    text: str
    thought: str = ""
    closed: bool = True


@dataclass(frozen=True)
class Request:
    """The reply requests a look; `answer` is what it answered in the same turn, if it did."""

    action: Action = ORIGINAL
    thought: str = ""
    answer: str | None = None


@dataclass(frozen=True)
class Malformed:
    """The reply is neither. `failed_call`: it tried to request, so an error message is due."""

    reason: str
    thought: str = ""
    failed_call: bool = False


Reply = Answer | Request | Malformed


def profile_for(look: LookMode, name: str) -> Profile:
    """The profile that an example is asked with: `name` itself for look "auto", else its `direct`.

    Raises:
        UsageError: no such look or profile, or the profile cannot request and look is auto.
    """
    if look not in LOOK_MODES:
        raise UsageError(f"look must be one of {', '.join(LOOK_MODES)}; got {look!r}")
    if name not in PROFILES:
        raise UsageError(f"profile must be one of {', '.join(PROFILES)}; got {name!r}")
    if look != "auto":
        return PROFILES[PROFILES[name].direct]
    if not PROFILES[name].can_request:
        able = ", ".join(p.name for p in PROFILES.values() if p.can_request)
        raise UsageError(
            f"profile {name!r} cannot request another look, which look 'auto' needs; "
            f"use --look low or --look high, or one of the profiles {able}"
        )
    return PROFILES[name]


# Building messages


def _fill(template: str, **filled: Sequence[Part]) -> tuple[Part, ...]:
    """Split the template at its placeholders, so that no filled-in text is searched again."""
    parts: list[Part] = []
    for piece in re.split(r"(\{image\}|\{question\}|\{error\})", template):
        placeholder = piece in ("{image}", "{question}", "{error}")
        parts.extend(filled[piece[1:-1]] if placeholder else (piece,))
    return _joined(parts)


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """`parts` with neighbouring texts made one, and without empty ones."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(last := joined[-1], str):
            joined[-1] = last + part
        elif part:
            joined.append(part)
    return tuple(joined)


def _plain(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Joined first: two texts can make a control token that neither holds."""
    return tuple(plain_text(part) if isinstance(part, str) else part for part in _joined(parts))


def opening(profile: Profile, pictures: Sequence[Picture], question: str) -> tuple[Message, ...]:
    """The system message and the question about `pictures`."""
    asked = Message("user", _fill(profile.user, image=pictures, question=_plain((question,))))
    return (*_system(profile), asked)


def _system(profile: Profile, below: Sequence[Part] = ()) -> tuple[Message, ...]:
    """The system message, unless it would be empty."""
    parts = _joined((profile.system, *(("\n\n",) if profile.system and below else ()), *below))
    return (Message("system", parts, tools=profile.tools),) if parts else ()


def conversation(profile: Profile, messages: Sequence[Message]) -> tuple[Message, ...]:
    """`messages` in the profile's form: a system message, then user and assistant.

    - System messages follow the profile's own, which models were trained with.
    - Each user message stands in the profile's frame, not the last alone: so a longer conversation
      begins with the tokens of the shorter one, and servers' prefix caches hit.
    - Images stand where the profile has them, if the message has them all before or all after its
      text; images between texts stay there.
    - Assistant messages become answers in the profile's form, without a thought.
    - Messages about calls, and of tools, stay as they are: the server's own format has them.
    - So do those of earlier episodes, which are in this form already.
    """
    systems = [message.parts for message in messages if message.role == "system"]
    below = [part for parts in systems for part in ("\n\n", *parts)][1:]
    said = [*_system(profile, _plain(below))]
    for message in messages:
        if message.verbatim:
            said.append(message)
        elif message.role == "user":
            pictures, asked = _framed(_plain(message.parts))
            parts = _fill(profile.user, image=pictures, question=asked)
            said.append(replace(message, parts=parts))
        elif message.role == "tool" or (message.role == "assistant" and message.extra):
            said.append(replace(message, parts=_plain(message.parts)))
        elif message.role == "assistant":
            opened, closed = ("", "") if isinstance(profile, Plain) else ANSWER
            parts = (opened, *_plain(message.parts), closed)
            said.append(Message("assistant", _joined(parts)))
    return tuple(said)


def _framed(parts: Sequence[Part]) -> tuple[Sequence[Part], Sequence[Part]]:
    """The parts for the profile's place for images, and those for its place for the question."""
    texts = [place for place, part in enumerate(parts) if isinstance(part, str)]
    if not texts:
        return parts, ()
    first, end = texts[0], texts[-1] + 1
    before, inside, after = parts[:first], parts[first:end], parts[end:]
    if len(inside) > len(texts) or (before and after):
        return before, (*inside, *after)
    return (*before, *after), inside


def said(profile: Profile, completion: Completion) -> Message:
    """A reply as the model sees it in the next turn.

    Text that spells a control token was not sampled as one. Engines that keep no token ids send the
    text again, and then it must not become one. Of several calls only the one that counts stays.
    """
    calls = completion.calls if profile.tools else ()
    rendered = "".join(render_tool_call(call.name, call.arguments) for call in calls)
    text = completion.text.removesuffix(rendered)
    read = {call: read_call(_call_body(call.name, call.arguments), profile) for call in calls}
    valid = [call for call in calls if not isinstance(read[call], Problem)]
    return Message(
        "assistant",
        (text if completion.token_ids is not None else plain_text(text),),
        completion.token_ids,
        calls=tuple((valid or calls)[:1]),
    )


def before_calls(completion: Completion) -> str:
    """What a reply in the server's own format says beside its calls, without a thought."""
    rendered = "".join(render_tool_call(call.name, call.arguments) for call in completion.calls)
    return split_plain(completion.text.removesuffix(rendered))[1].strip()


def tool_response(profile: Profile, pictures: Sequence[Picture], call_id: str = "") -> Message:
    """The turn that delivers what was requested; the profile must be able to request."""
    if not profile.can_request:
        raise UsageError(f"profile {profile.name!r} has no tool response")
    return _response(profile, _fill(profile.tool_response, image=pictures), call_id)


def tool_error(profile: Profile, error: str, call_id: str = "") -> Message | None:
    """The turn that answers a failed call, or None where the profile has none."""
    if profile.tool_error is None:
        return None
    return _response(profile, _fill(profile.tool_error, error=_plain((error,))), call_id)


def _response(profile: Profile, parts: tuple[Part, ...], call_id: str) -> Message:
    """In the server's own format by a tool's turn, else by the user's."""
    if profile.tools:
        return Message("tool", parts, call_id=call_id)
    return Message("user", parts)


def render_thought(text: str, *, closed: bool = True) -> str:
    return f"{THINK[0]}{text}{THINK[1] if closed else ''}"


def render_tool_call(name: str, arguments: str) -> str:
    """A call as text; `arguments` is JSON text, as servers with a tool parser return it."""
    return f"{CALL[0]}{_call_body(name, arguments)}{CALL[1]}"


def _call_body(name: str, arguments: str) -> str:
    return f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}'


def action_body(action: Action) -> str:
    """The JSON text inside of a call element that requests `action`."""
    return _call_body(action.function, json.dumps(dict(action.arguments())))


CALL_BODY = action_body(ORIGINAL)
"""The paper's request, as the embedded model's vocabulary has it in one piece."""


def direct_reply(thought: str, answer: str) -> str:
    """A valid answering reply, as training data and scripted engines need it."""
    return f"{render_thought(thought)}{ANSWER[0]}{answer}{ANSWER[1]}"


def request_reply(thought: str, action: Action = ORIGINAL, marker: str | None = None) -> str:
    """A valid requesting reply of a tagged profile; `marker` is the profile's, if it has one."""
    return render_thought(thought) + (marker or f"{CALL[0]}{action_body(action)}{CALL[1]}")


# Reading replies


def parse_reply(text: str, profile: Profile, *, streamed: bool = False) -> Reply:
    """What a reply means; total: any string gives a value (rules in the module docstring).

    A `streamed` answer is passed on while it is written, so that nothing after it can replace it:
    of answer and request the first counts, and of several answers the first. Up to `ANNOUNCED`
    characters before a call in the server's own format announce it and are no answer.
    """
    if isinstance(profile, Tagged):
        first = _first_answer(text, profile) if streamed else None
        return first or _parse_tagged(text, profile)
    answer = plain_answer(text, profile)
    if streamed and len(answer) > ANNOUNCED:
        return Answer(answer, split_plain(text)[0], closed=False)
    return _parse_plain(text, profile)


def _first_answer(text: str, profile: Tagged) -> Answer | None:
    """The answer that is passed on while it is written, if there is one."""
    begun = begun_answer(text, profile)
    if begun is None:
        return None
    thought, _ = _split_thought(text[: begun.start], profile)
    return Answer(begun.answer, thought, begun.end == ANSWER[1])


@dataclass(frozen=True)
class BegunAnswer:
    """The first answer element outside of thoughts: where it starts, its text so far, and the tag
    that ends it; "": none has come yet.
    """

    start: int
    body: str
    end: str

    @property
    def boxed(self) -> bool:
        return self.body.lstrip().startswith("\\boxed{")

    @property
    def answer(self) -> str:
        """What is read where the text ends here."""
        body = self.body if self.end == ANSWER[1] else _PARTIAL_END.sub("", self.body)
        return unbox(body) if self.boxed else body.strip()


def begun_answer(text: str, profile: Tagged) -> BegunAnswer | None:
    """None where no answer has begun, or what may be a request comes before it."""
    at = 0
    start = text.find(ANSWER[0])
    while start >= 0 and 0 <= (thought := text.find(THINK[0], at)) < start:
        close = text.find(THINK[1], thought)
        if close < 0:
            return None  # only the end shows whether the answer is a part of the thought
        at = close
        start = text.find(ANSWER[0], at)
    if start < 0:
        return None
    _, before = _split_thought(text[:start], profile)
    if profile.can_request and (CALL[0] if profile.marker is None else RESIZE) in before:
        return None
    body = text[start + len(ANSWER[0]) :]
    tags = (ANSWER[1], *action_tags(profile))
    ends = [(place, tag) for tag in tags if (place := body.find(tag)) >= 0]
    place, tag = min(ends, default=(len(body), ""))
    return BegunAnswer(start, body[:place], tag)


_PARTIAL_END = re.compile(r"</(a(n(s(w(er?)?)?)?)?)?\Z")


def plain_answer(text: str, profile: Profile) -> str:
    """What a plain reply says before a call, which is the answer while it is streamed."""
    _, rest = split_plain(text)
    return rest.split(CALL[0], 1)[0].strip() if profile.can_request else rest.strip()


def _parse_tagged(text: str, profile: Tagged) -> Reply:
    thought, rest = _split_thought(text, profile)
    found, closed = _last_answer(rest, profile)
    answer = None if found is None else unbox(found)
    bodies = _call_bodies(rest)
    called: Action | Problem | None
    if profile.marker is None:
        called = _first_call(bodies, profile)
    else:
        called = ORIGINAL if RESIZE in rest else None
    if profile.can_request and not isinstance(called, Problem | None):
        return Request(called, thought, answer)
    if answer is not None:
        return Answer(answer, thought, closed)
    if bodies and (profile.marker is not None or not profile.can_request):
        return Malformed("a tool was called where none is offered", thought)
    if isinstance(called, Problem):
        return Malformed(called.text, thought, failed_call=True)
    for stray in (THINK[1], ANSWER[1], CALL[1]):
        rest = rest.replace(stray, "")
    if untagged := rest.strip():
        return Answer(unbox(untagged), thought, closed=False)
    return Malformed("there is neither an answer nor a request", thought)


def _parse_plain(text: str, profile: Profile) -> Reply:
    """What comes before a call is the answer only where the call cannot be served."""
    thought, rest = split_plain(text)
    answer = (rest.split(CALL[0], 1)[0] if profile.can_request else rest).strip()
    called = _first_call(_call_bodies(rest), profile) if profile.can_request else None
    if isinstance(called, Problem):
        return Malformed(called.text, thought, failed_call=True)
    if called is not None:
        return Request(called, thought, answer or None)
    if not answer:
        return Malformed("there is neither an answer nor a request", thought)
    return Answer(answer, thought, closed=False)


def split_plain(text: str) -> tuple[str, str]:
    """Of a plain reply: the thought that it starts with, if it does, and what follows."""
    if not text.lstrip().startswith(THINK[0]):
        return "", text
    thought, _, rest = text.lstrip().removeprefix(THINK[0]).partition(THINK[1])
    return thought.strip(), rest


def _split_thought(text: str, profile: Tagged) -> tuple[str, str]:
    """The think elements' text, and the text outside them."""
    thoughts, outside, _ = thoughts_in(text, profile)
    return "\n".join(thought.strip() for thought in thoughts), outside


def thoughts_in(text: str, profile: Tagged) -> tuple[list[str], str, bool]:
    """The text of each think element, the text outside them, and whether `text` ends inside of the
    last element. Linear in the length of `text`.
    """
    opened, closed = THINK
    thoughts: list[str] = []
    outside: list[str] = []
    at = 0
    close, start = text.find(closed), text.find(opened)
    if close >= 0 and (start < 0 or close < start):
        thoughts.append(text[:close])
        at = close + len(closed)
    unclosed = False
    while not unclosed and (start := text.find(opened, at)) >= 0:
        outside.append(text[at:start])
        at = start + len(opened)
        close = text.find(closed, at)
        unclosed = close < 0
        if unclosed:
            found = [text.find(tag, at) for tag in action_tags(profile)]
            close = min((place for place in found if place >= 0), default=len(text))
        thoughts.append(text[at:close])
        at = close if unclosed else close + len(closed)
    outside.append(text[at:])
    return thoughts, "".join(outside), unclosed and at == len(text)


def action_tags(profile: Tagged) -> tuple[str, ...]:
    """What begins an answer or a request."""
    return (ANSWER[0], CALL[0], *((RESIZE,) if profile.marker else ()))


def _last_answer(text: str, profile: Tagged) -> tuple[str | None, bool]:
    """The text of the last answer element, and whether it was closed; else a request ends it."""
    start = text.rfind(ANSWER[0])
    if start < 0:
        return None, False
    body = text[start + len(ANSWER[0]) :]
    end = body.find(ANSWER[1])
    if end < 0:
        body = body.split(CALL[0] if profile.marker is None else RESIZE, 1)[0]
        return _PARTIAL_END.sub("", body), False
    return body[:end], True


def _call_bodies(text: str) -> list[str]:
    return [piece.split(CALL[1], 1)[0] for piece in text.split(CALL[0])[1:]]


def _first_call(bodies: Sequence[str], profile: Profile) -> Action | Problem | None:
    """The first valid request among call elements, else what is wrong with the first of them."""
    read = [read_call(body, profile) for body in bodies]
    return next((call for call in read if not isinstance(call, Problem)), read[0] if read else None)


def read_call(body: str, profile: Profile) -> Action | Problem:
    """The action that the text of a call element requests, of those that the profile offers."""
    try:
        # raw_decode: an unclosed call may be followed by other text.
        call, _ = json.JSONDecoder().raw_decode(body.strip())
    except (ValueError, RecursionError):
        return Problem("the function call is not valid JSON")
    if not isinstance(call, dict):
        return Problem("the function call is not a JSON object")
    fields = cast(dict[str, Any], call)
    name = fields.get("name")
    offered = [ACTIONS[action] for action in profile.actions]
    called = [action for action in offered if action.function == name]
    if not called:
        functions = dict.fromkeys(repr(action.function) for action in offered)
        only = f", only {' and '.join(functions)}" if functions else ""
        return Problem(f"there is no function {quoted(name)}{only}")
    arguments = fields.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return Problem("the arguments are not valid JSON")
    read = [action.read(arguments) for action in called]
    return next((request for request in read if not isinstance(request, Problem)), read[0])


def unbox(text: str) -> str:
    r"""The content of the last complete `\boxed{…}`, or the text itself; stripped."""
    if "\\boxed{" not in text:
        return text.strip()
    best = (-1, text)
    opened: list[int] = []  # where the text inside each open brace starts; negative: not a box
    for brace in re.finditer(r"\\boxed\{|[{}]", text):
        if brace[0] == "}":
            start = opened.pop() if opened else -1
            if start > best[0]:
                best = (start, text[start : brace.start()])
        else:
            opened.append(-1 if brace[0] == "{" else brace.end())
    return best[1].strip()


def outcome(reply: Reply) -> Literal["answer", "request", "malformed"]:
    match reply:
        case Answer():
            return "answer"
        case Request():
            return "request"
        case Malformed():
            return "malformed"


def final_answer(reply: Reply) -> str:
    """The answer in a reply; empty if it holds none."""
    match reply:
        case Answer(text=answer):
            return answer
        case Request(answer=answer):
            return answer or ""
        case Malformed():
            return ""
