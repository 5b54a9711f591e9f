"""The file of verdicts: shared, appended to, and robust to what it may come to hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from visionthink.core.errors import UsageError
from visionthink.judges.cache import VerdictCache, cache_key


def test_verdicts_outlive_the_process_and_the_first_one_stays(tmp_path: Path):
    cache = VerdictCache(tmp_path / "cache")
    cache.put("a", 1, "m")
    cache.put("b", 0, "m")
    cache.put("a", 0, "m")
    cache.close()
    again = VerdictCache(tmp_path / "cache")
    assert [again.get(key) for key in "abc"] == [1, 0, None]


def test_without_a_file_verdicts_stay_in_memory():
    cache = VerdictCache()
    cache.put("a", 1, "m")
    assert (cache.get("a"), cache.get("b")) == (1, None)


def test_two_open_caches_see_each_other(tmp_path: Path):
    one, other = VerdictCache(tmp_path / "cache"), VerdictCache(tmp_path / "cache")
    one.put("a", 1, "m")
    assert other.get("a") == 1
    other.put("b", 0, "m")
    assert one.get("b") == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"key": "a", "sco',
        b'{"key": "a", "score": 2}',
        b'{"key": "a", "score": true}',
        b'{"key": "a", "score": null}',
        b'{"key": "a", "score": 1.0}',
        b'{"key": ["a"], "score": 1}',
        b'{"score": 1}',
        b"[1]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_a_line_without_a_verdict_hides_no_other(tmp_path: Path, line: bytes):
    """Before a whole line, and as a rest without a newline that the next verdict follows."""
    path = tmp_path / "cache"
    path.write_bytes(line + b'\n{"key": "b", "score": 1}\n' + line)
    cache = VerdictCache(path)
    assert (cache.get("a"), cache.get("b")) == (None, 1)
    cache.put("c", 0, "m")
    assert (VerdictCache(path).get("b"), VerdictCache(path).get("c")) == (1, 0)


def test_a_line_that_is_still_being_written_counts_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "cache"
    cache = VerdictCache(path)
    with path.open("ab", buffering=0) as file:
        file.write(b'{"key": "a", "sc')
        assert cache.get("a") is None
        file.write(b'ore": 1}\n')
    assert cache.get("a") == 1


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from visionthink.judges.cache import VerdictCache\n"
        "cache = VerdictCache(Path(sys.argv[1]))\n"
        "for n in range(200): cache.put(f'{sys.argv[2]}-{n}', n % 2, 'm')\n"
    )
    path = tmp_path / "cache"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("one", "two")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = VerdictCache(path)
    for name in ("one", "two"):
        assert [cache.get(f"{name}-{n}") for n in range(200)] == [n % 2 for n in range(200)]
    kept = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert len(kept) == 400
    assert kept[0].keys() == {"key", "score", "model"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_on_a_full_disk_verdicts_stay_in_memory(caplog: pytest.LogCaptureFixture):
    cache = VerdictCache(Path("/dev/full"))
    cache.put("a", 1, "m")
    cache.put("b", 0, "m")
    assert (cache.get("a"), cache.get("b")) == (1, 0)
    assert caplog.text.count("No space left on device") == 1


def test_a_cache_that_cannot_be_opened_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "cache"):
        with pytest.raises(UsageError, match="cannot open the judge's cache"):
            VerdictCache(path)


def test_the_key_is_that_of_the_content():
    r"""SHA-256 of `{"a": 1, "b": "\u00e9"}`, as sha256sum gives it, in whichever order."""
    expected = "fb0782fb7a8a00c6a46d1f2aadc5c94b9df08eba809089335da3acdf393c7c13"
    assert cache_key({"b": "é", "a": 1}) == cache_key({"a": 1, "b": "é"}) == expected
