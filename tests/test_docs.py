"""The documentation: its Python runs, its links lead somewhere, the paths that it names exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import visionthink
from visionthink.core.actions import ACTIONS
from visionthink.core.families import FAMILIES
from visionthink.core.profiles import PROFILES
from visionthink.core.rewards import RULES
from visionthink.engines.families import RUNNERS
from visionthink.evaluation.metrics import METRICS
from visionthink.evaluation.policies import POLICIES
from visionthink.judges import JUDGES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = {"cli.md"}
FOLDERS = ("src", "tests", "docs", "bench", "recipes", "scripts", "examples", "deploy")
MOST_COLUMNS = 120
TABLES: tuple[dict[str, Any], ...] = (
    *(ACTIONS, PROFILES, FAMILIES, RUNNERS, RULES, JUDGES, METRICS, POLICIES),
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def python_blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Each ```python block with the number of the line before its first."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: block.start(1)].count("\n"), block[1]


def expected(line: str) -> object:
    """The literal in the comment at the end of `line`; what follows a colon explains it."""
    _, _, comment = line.rpartition("  # ")
    for literal in (comment, comment.partition(": ")[0]):
        try:
            return ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            continue
    return ...


def run_page(page: Path) -> dict[str, object]:
    """Run all Python of a page in one namespace; `expression  # literal` must be equal."""
    names: dict[str, object] = {"__name__": "__main__"}
    for start, code in python_blocks(page):
        lines = code.splitlines()
        for node in ast.parse(code).body:
            node = ast.increment_lineno(node, start)
            if not isinstance(node, ast.Expr):
                exec(compile(ast.Module([node], []), name_of(page), "exec"), names)  # noqa: S102
                continue
            value = eval(compile(ast.Expression(node.value), name_of(page), "eval"), names)  # noqa: S307
            said = expected(lines[(node.end_lineno or 0) - start - 1])
            assert said is ... or value == said, f"{name_of(page)}:{node.end_lineno}"
    return names


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which the paths of the examples lead to the shipped samples."""
    (tmp_path / "src").symlink_to(ROOT / "src")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tables() -> Iterator[None]:
    """Rows that the examples add are removed again."""
    before = [(table, dict(table)) for table in TABLES]
    yield
    for table, rows in before:
        table.clear()
        table.update(rows)


@pytest.mark.usefixtures("workplace", "tables")
@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/extending.md"])
def test_the_python_of_a_page_runs_and_gives_what_it_says(page: str) -> None:
    run_page(ROOT / page)


def test_a_wrong_value_in_a_page_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 2\nx + 1  # 3: as it should be\nx  # 3\n```\n", encoding="utf-8"
    )
    with pytest.raises(AssertionError, match=r"page\.md:4"):
        run_page(page)


def test_the_api_page_names_everything_that_the_package_offers() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in visionthink.__all__ if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_names_in_them_that_a_page_mentions_exist(page: Path) -> None:
    """As in `core/images.py` `half_view`, `tests/test_api.py::test_name`, `pruning/{a,b}.py`."""
    text = " ".join(page.read_text(encoding="utf-8").split())
    rooms = [path.name for path in (ROOT / "src" / "visionthink").iterdir() if path.is_dir()]
    heads = "|".join([*FOLDERS, *rooms])
    mentions = rf"`((?:{heads})/[\w./*{{}},-]*)(?:::(\w+))?`((?:,? `[\w.]+`)*)"
    missing: list[str] = []
    for path, test, names in re.findall(mentions, text):
        if "NAME" in path or (path.startswith("runs/") and not path.endswith(".py")):
            continue  # a file to be written, or where a command writes
        files = [file for one in spelled_out(path) for file in found(one)]
        missing += [one for one in spelled_out(path) if not found(one)]
        code = "".join(file.read_text("utf-8") for file in files if file.suffix == ".py")
        words = [test, *(name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", names))]
        missing += [f"{path} {word}" for word in words if code and word and word not in code]
    assert missing == []


def spelled_out(path: str) -> list[str]:
    """`a/{b,c}.py` as `a/b.py` and `a/c.py`."""
    parts = re.match(r"(.*)\{(.*)\}(.*)", path)
    return [f"{parts[1]}{each}{parts[3]}" for each in parts[2].split(",")] if parts else [path]


def found(path: str) -> list[Path]:
    """What a path stands for, relative to the root or to the package; `*` is a wildcard."""
    places = (ROOT, ROOT / "src" / "visionthink")
    return [file for place in places for file in place.glob(path.rstrip("/"))]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_that_a_page_mentions_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    mentioned = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(mentioned) <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for place, anchor in re.findall(r"\]\(((?!https?:)[^)#]*)(?:#([^)]*))?\)", text):
        target = page.parent / place if place else page
        assert target.exists(), place
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{place}#{anchor}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in GENERATED], ids=name_of
)
def test_lines_of_a_page_are_short(page: Path) -> None:
    """A row of a table cannot be wrapped, so rows may be longer."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert [n for n, line in lines if len(line) > MOST_COLUMNS and line[:1] != "|"] == []
