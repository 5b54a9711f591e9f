"""Structured output: what an answer must look like, and whether it does.

The episode's replies are free, so that the model can think and request a look. An answer that is
not in the form is asked for again, in one more turn that the upstream guides. Only answers that are
seen to be right are let through: what cannot be checked here in bounded time counts as wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from referencing import Registry

from visionthink.core.form import Form
from visionthink.serving.api_error import ApiError

CONSTRAINTS = (
    *("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice"),
    *("guided_grammar", "guided_decoding_backend", "guided_whitespace_pattern", "json_schema"),
    *("regex", "ebnf", "structural_tag"),
)
"""Fields of OpenAI, vLLM and SGLang that constrain a reply; only the guided turn gets them."""

MOST_STEPS = 200_000
"""Keywords that a check may visit: schemas can be written so that a check takes for ever."""
MOST_SCHEMA = 20_000
"""Characters of a schema that the guided turn repeats."""

Read = Callable[[str], str | None]


def form_of(fields: Mapping[str, Any]) -> Form | None:
    """The form that a request's fields demand; None: any text will do.

    Raises:
        ApiError: 400; the schema is not one.
    """
    demands = {name: fields[name] for name in CONSTRAINTS if fields.get(name) is not None}
    if demands.get("response_format") == {"type": "text"}:
        del demands["response_format"]
    if not demands:
        return None
    try:
        read, words = _checked(demands)
    except RecursionError:
        raise _bad_schema("it is too deep") from None
    except ValueError:
        raise _bad_schema("it is not JSON") from None
    return Form(read, f"Now write your answer {words}, and nothing else.", demands)


def _checked(demands: Mapping[str, Any]) -> tuple[Read, str]:
    """How an answer is checked, and in which words its form is asked for."""
    if len(demands) == 1:
        (name, value), *_ = demands.items()
        match name, value:
            case "response_format", {"type": "json_object"}:
                return _json_reader({"type": "object"}), "as one JSON object"
            case "response_format", {"type": "json_schema", "json_schema": dict(named)}:
                return _schema_form(named.get("schema", {}))
            case "guided_json" | "json_schema", _:
                return _schema_form(json.loads(value) if isinstance(value, str) else value)
            case "structured_outputs", {"json": schema}:
                return _schema_form(json.loads(schema) if isinstance(schema, str) else schema)
            case ("guided_choice", list(choices)) | (
                "structured_outputs",
                {"choice": list(choices)},
            ):
                allowed = [str(choice) for choice in choices]
                listed = json.dumps(allowed, ensure_ascii=False)
                return _choice_reader(allowed), f"as one of {listed}"
            case _:
                pass
    return (lambda _: None), "in the form that was asked for"


def _choice_reader(choices: Sequence[str]) -> Read:
    return lambda answer: answer.strip() if answer.strip() in choices else None


def _schema_form(schema: object) -> tuple[Read, str]:
    text = json.dumps(schema, ensure_ascii=False)
    shown = f": {text}" if len(text) <= MOST_SCHEMA else ""
    return _json_reader(schema), f"as JSON that follows the schema{shown}"


def _json_reader(schema: object) -> Read:
    """A function that returns the JSON text in an answer, where it follows the schema."""
    if not isinstance(schema, dict | bool):
        raise _bad_schema("it must be an object")
    try:
        known = _without_dialects(schema)
        Draft202012Validator.check_schema(known)
    except SchemaError as error:
        raise _bad_schema(error.message) from None

    def read(answer: str) -> str | None:
        text = _unfenced(answer)
        try:
            value = json.loads(text, parse_constant=_no_constant)
            valid = _bounded_validator(known).is_valid(value)
        except Exception:  # not JSON, too many steps, or a reference that leads nowhere
            return None
        return text if valid else None

    return read


def _bad_schema(why: str) -> ApiError:
    message = f"response_format: this is not a JSON schema: {why}"
    return ApiError(400, message[:500], param="response_format")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _unfenced(answer: str) -> str:
    """The answer without the fence of a code block around it."""
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?```", answer.strip(), re.DOTALL)
    return fenced[1].strip() if fenced else answer.strip()


def _without_dialects(schema: Any) -> Any:
    """The schema without names of dialects, which would choose a check without bounds."""
    if isinstance(schema, list):
        return [_without_dialects(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: v for k, v in schema.items() if k != "$schema" or not isinstance(v, str)}
    return {key: _without_dialects(value) for key, value in kept.items()}


def _bounded_validator(schema: Any) -> Any:
    """A validator that gives up after `MOST_STEPS`, and takes no pattern of a client's for checked.

    Its registry is its own: the default one fetches what a schema refers to.
    """
    steps = 0

    def bounded(check: Any) -> Any:
        def checked(
            validator: Any, value: Any, instance: Any, schema: Any
        ) -> Iterator[ValidationError]:
            nonlocal steps
            steps += 1
            if steps > MOST_STEPS:
                raise ValueError("too many steps")
            if "pattern" in schema or "patternProperties" in schema:
                yield ValidationError("a pattern could take for ever")
            else:
                yield from check(validator, value, instance, schema) or ()

        return checked

    rules = {name: bounded(check) for name, check in Draft202012Validator.VALIDATORS.items()}
    return validators.extend(Draft202012Validator, rules)(schema, registry=Registry())
