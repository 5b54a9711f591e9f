"""Configurations: YAML and `--set key=value`, checked by pydantic models, with one-line errors.

Knows nothing of what is configured: data sets, suites and trainings bring their own models.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import yaml
from pydantic import AfterValidator, BaseModel, ValidationError

from visionthink.core.errors import UsageError
from visionthink.core.families import GRIDS

YAML = (".yaml", ".yml")
"""Endings of the names of YAML files."""

Model = TypeVar("Model", bound=BaseModel)


def _known_grid(name: str) -> str:
    if name not in GRIDS:
        raise ValueError(f"expected one of {', '.join(GRIDS)}; got {name!r}")
    return name


GridName = Annotated[str, AfterValidator(_known_grid)]
"""How a served model turns images into visual tokens: a name in `core.families.GRIDS`."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: PyYAML reads 1e-6 as text, and `save_strategy: no` as false."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own table, copied
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; errors call it `where`.

    Raises:
        UsageError: it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise UsageError(f"{where}{line}: not valid YAML: {problem}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read config {str(path)!r}: {why}") from error
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected a mapping of options, got {type(value).__name__}")
    return cast(dict[str, Any], value)


def apply_sets(options: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """`options` with each `a.b.c=value` applied, in order; the values are YAML.

    Raises:
        UsageError: an item has no `=` or no key, or its path leads through a plain value.
    """
    result = _copy(options)
    for item in sets:
        key, equals, text = item.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise UsageError(f"--set: expected key=value, such as seed=7; got {item!r}")
        place = result
        for depth, name in enumerate(names[:-1], start=1):
            inner = place.get(name)
            if inner is None:
                inner = place[name] = {}
            if not isinstance(inner, dict):
                through = ".".join(names[:depth])
                raise UsageError(f"--set {key}: {through} is {inner!r}, which has no options")
            place = cast(dict[str, Any], inner)
        place[names[-1]] = parse_yaml(text, f"--set {key}")
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in cast(Mapping[Any, Any], value).items()}
    return value


def checked(model: type[Model], options: Mapping[str, Any], where: str) -> Model:
    """`options` as a `model`.

    Raises:
        UsageError: the first problem, with its path of keys, and the key that was probably meant
            where one does not exist.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
        key = ".".join(names)
        if first["type"] == "extra_forbidden":
            before = key.removesuffix(names[-1])
            hint = did_you_mean(names[-1], _fields_at(model, names[:-1]), before)
            problem = f"is not an option{hint}"
        elif first["type"] == "missing":
            problem = "is missing"
        elif first["type"] in ("model_type", "dict_type"):
            problem = f"expected options, such as {{key: value}}; got {first['input']!r:.40}"
        else:
            message = first["msg"].removeprefix("Value error, ")
            given = first["input"]
            scalar = isinstance(given, str | int | float | bool) or given is None
            got = f"; got {given!r}" if scalar and first["type"] != "value_error" else ""
            problem = f"{message[:1].lower()}{message[1:]}{got}"
        raise UsageError(f"{where}: {key}: {problem}" if key else f"{where}: {problem}") from error


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """The end of an error message: the nearest known name, or all of them if they are few.

    Each name is shown with `before` in front of it.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {before}{close[0]}?"
    shown = ", ".join(before + name for name in names)
    return f"; expected one of {shown}" if 0 < len(names) <= 20 else ""


def _fields_at(model: type[BaseModel], names: Sequence[str]) -> list[str]:
    """Names of the options of the model that `names` lead to; empty if they lead to none."""
    for name in names:
        field = model.model_fields.get(name)
        inner = None if field is None else model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model in an annotation such as `Model | None`; None without one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        for inner in typing.get_args(annotation):
            if (found := model_in(inner)) is not None:
                return found
    return None
