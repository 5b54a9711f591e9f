"""The rules of the house, read from the source: who may import whom, and what stands where.

Imports point down: cli, reports → training, evaluation, serving → engines, judges, data, pruning,
mini → core, runs, settings. An import inside a function counts like any other.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import visionthink

ROOT = Path(visionthink.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

BASE = {"core", "runs", "settings"}
ADAPTERS = {*BASE, "engines", "judges", "data", "pruning", "mini"}

MAY_IMPORT = {
    # layer 0
    "core": set[str](),
    "settings": {"core"},
    "runs": {"core"},
    # layer 1
    "engines": {"core"},
    "judges": {*BASE, "engines"},
    "data": {*BASE, "mini"},  # the embedded world is one of the sources
    "pruning": {"core"},
    "mini": {"core"},
    # the front door
    "api": {*ADAPTERS},
    "__init__": {*ADAPTERS, "api", "reports"},  # the names that it offers, loaded when used
    # layer 2: none imports another of its row
    "training": {*ADAPTERS, "api", "__init__"},
    "evaluation": {*ADAPTERS, "api", "__init__"},
    "serving": {*ADAPTERS, "api", "__init__"},
    "reports": {*BASE, "evaluation"},
    # layer 3
    "cli": {
        *ADAPTERS,
        *("api", "__init__", "training", "evaluation", "serving", "reports"),
    },
    "__main__": {"cli"},
}
"""Room → the other rooms it may import from. A new room must be entered here."""

CORE_NEEDS = {"PIL", "numpy"}

TORCH = {"torch", "transformers"}
TORCH_ROOMS = {"engines", "pruning", "training"}
TORCH_FILES = {"cli/doctor.py"}  # it reports which device torch finds

HEAVY = {
    *("torch", "transformers", "openai", "sklearn", "pydantic", "datasets", "trl", "matplotlib"),
    *("fastapi", "starlette", "uvicorn", "prometheus_client", "aiohttp"),
}

TAG_FILES = {"core/protocol.py"}
TAGS = tuple(
    f"<{slash}{name}>"
    for name in ("think", "answer", "tool_call", "tool_response")
    for slash in ("", "/")
)
TEXTS = {".py", ".jinja", ".html", ".css", ".js", ".toml", ".yaml", ".yml", ".md"}

MOST_LINES = 600


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """The folder under the package that a file lives in, or the file itself at its top."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full names of the modules that a file imports anywhere in it."""
    package = ["visionthink", *path.relative_to(ROOT).parent.parts]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "visionthink":
                found += [f"visionthink.{alias.name}" for alias in node.names]
            else:
                found.append(module)
    return tuple(found)


def rooms_imported(path: Path) -> Iterator[str]:
    """Rooms of our own that a file imports; a name of the package itself counts as `__init__`."""
    for module in imports(path):
        first, _, rest = module.partition(".")
        if first == "visionthink":
            room = rest.partition(".")[0]
            yield room if room in MAY_IMPORT else "__init__"


def others_imported(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(path)} - {"visionthink"}


def run(code: str) -> list[str]:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_every_room_has_a_place_in_the_layers():
    assert {room_of(path) for path in SOURCES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: Path):
    room = room_of(path)
    assert set(rooms_imported(path)) <= {room, *MAY_IMPORT[room]}


def test_core_needs_little():
    allowed = CORE_NEEDS | set(sys.stdlib_module_names)
    for path in SOURCES:
        if room_of(path) == "core":
            assert others_imported(path) <= allowed, name_of(path)


def test_torch_stays_in_its_rooms():
    users = {path for path in SOURCES if others_imported(path) & TORCH}
    strangers = {name_of(path) for path in users if room_of(path) not in TORCH_ROOMS}
    assert strangers <= TORCH_FILES


def test_tags_stand_in_the_protocol_only():
    for path in sorted(ROOT.rglob("*")):
        name = name_of(path)
        if path.suffix in TEXTS and name not in TAG_FILES:
            text = path.read_text(encoding="utf-8")
            assert [tag for tag in TAGS if tag in text] == [], name


def test_no_source_knows_the_machine_it_was_written_on():
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in {*TEXTS, ".txt", ".json"}:
            text = path.read_text(encoding="utf-8")
            places = [place for place in ("work", "tmp", "home") if f"/{place}/" in text]
            assert places == [], name_of(path)


def test_files_stay_short():
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import visionthink",
        "from visionthink import Example, ask, open_engine, open_picture, run_episode",
        "import visionthink.cli.main",
        "from visionthink.engines.scripted import ScriptedEngine",
    ],
)
def test_imports_stay_light(statement: str):
    code = f"import json, sys; {statement}; print(json.dumps([*sys.modules]))"
    assert {module.partition(".")[0] for module in run(code)} & HEAVY == set()


def test_public_names_exist_and_are_sorted():
    assert visionthink.__all__ == sorted(visionthink.__all__)
    for name in visionthink.__all__:
        assert getattr(visionthink, name).__name__ == name
    assert set(visionthink.__all__) <= set(dir(visionthink))


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="module 'visionthink' has no attribute 'nothing'"):
        visionthink.__getattr__("nothing")


def test_the_scan_sees_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each way to write an import, from a file in a room of its own."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "judges" / "llm.py"
    path.parent.mkdir()
    path.write_text(
        "import torch.nn as nn, os\n"
        "from visionthink import __version__, engines\n"
        "from visionthink.core import types\n"
        "from ..serving.app import run\n"
        "from .. import cli\n"
        "from . import rules\n"
        "def late():\n"
        "    import visionthink.training.sft\n",
        encoding="utf-8",
    )
    assert set(others_imported(path)) == {"torch", "os"}
    assert sorted(rooms_imported(path)) == [
        *("__init__", "cli", "core", "engines", "judges", "serving", "training")
    ]
    assert room_of(path) == "judges"
