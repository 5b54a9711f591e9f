"""The wheel and the source archive: what is in them, and that an installed wheel answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import visionthink

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, built from the source archive as `make dist` does, and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel_holds_the_whole_package_and_nothing_else(archives: tuple[Path, Path]) -> None:
    """Every file of src/visionthink: code, prompts, presets, pages, checkpoints, samples."""
    package = ROOT / "src" / "visionthink"
    files = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(archives[0]).namelist() if ".dist-info/" not in name}
    assert held == files
    assert "visionthink/mini/checkpoints/mini/model.safetensors" in held
    assert "visionthink/py.typed" in held


def test_the_source_archive_holds_what_tests_and_recipes_need(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"Makefile", "CITATION.cff", "LICENSE", "constraints.txt", "tests/test_api.py"}
    assert expected <= names
    assert any(name.startswith("recipes/mini/") for name in names)
    assert not any(name.startswith((".venv", "out/", "runs/")) for name in names)


def test_an_installed_wheel_answers_a_question(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """In a fresh environment that borrows torch and the other packages, but not our checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(archives[0])], check=True, timeout=120)
    borrowed = sysconfig.get_path("purelib")  # its .pth files, our checkout's among them, stay out
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "venv" / "lib" / version / "site-packages"
    (site / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")

    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: object) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=tmp_path,
            env={**environment, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run(python, "-c", "import visionthink; print(visionthink.__file__)").strip()
    assert Path(place).is_relative_to(site)
    receipt = site / "visionthink" / "mini" / "samples" / "receipt.png"
    printed = run(
        tmp_path / "venv/bin/visionthink", "ask", receipt, "How much is the rye?", "--json"
    )
    episode = json.loads(printed)
    assert (episode["answer"], episode["requested"]) == ("2.36", True)


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == visionthink.__version__
    assert citation["preferred-citation"]["url"] == "https://arxiv.org/abs/2507.13348"
