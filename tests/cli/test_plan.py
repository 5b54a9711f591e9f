"""`visionthink plan` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cli.outcome import Run

SEVEN = ("--model", "Qwen2.5-VL-7B", "--image-size", "1120x700")


def test_tables_and_a_verdict(run: Run):
    """1120 x 700 are 40 x 25 cells, 560 x 350 are 20 x 12: at p = 0.3 (240 + 300) / 1000."""
    given = run("plan", *SEVEN)
    assert (given.code, given.err) == (0, "")
    lines = given.out.splitlines()
    assert lines[0].startswith("model      Qwen/Qwen2.5-VL-7B-Instruct: 8.29 B parameters, 16.6 GB")
    assert lines[1] == "images     1 of 1120x700 (1,000 visual tokens, 240 at half size)"
    assert lines[5].split()[:3] == ["vanilla", "1,000", "100.0"]
    assert lines[6].split()[:3] == ["down-sample", "240", "24.0"]
    assert lines[7].split()[:5] == ["VisionThink", "at", "0.3", "540", "54.0"]
    assert lines[8].split()[0] == "fastv:0.5"
    assert lines[16].split()[-1] == "0.76"
    assert "With a prefix cache: 42.1 % fewer prefill FLOPs than vanilla" in given.out
    assert "Without one: 4.7 % more prefill FLOPs than vanilla" in given.out
    assert "Computed from sizes, not measured." in given.out


def test_json_is_one_object(run: Run):
    given = run("plan", *SEVEN, "--request-rate", 0.31, "--json")
    found = json.loads(given.out)
    high, low, auto, *pruned = found["policies"]
    assert [row["policy"] for row in (high, low, auto, pruned[0])] == [
        *("high", "low", "auto", "fastv:0.5")
    ]
    assert len(pruned) == 6
    assert (high["visual_tokens"], low["visual_tokens"]) == (1000, 240)
    assert (high["flops_ratio"], low["visual_token_ratio"]) == (1, 0.24)
    assert auto["visual_token_ratio"] == pytest.approx(0.55)
    assert auto["flops_ratio"] == pytest.approx(0.59, abs=0.03)
    assert high["kv_bytes"] == (1000 + 70 + 100) * found["kv_bytes_per_token"]
    assert found["break_even"]["visual_tokens"] == 0.76
    assert found["weight_bytes"] == 2 * found["parameters"]
    assert [row["request_rate"] for row in found["by_request_rate"]] == [0, 0.1, 0.25, 0.5, 0.75, 1]
    assert found["by_request_rate"][-1]["visual_token_ratio"] == 1.24
    assert found["workload"]["images"] == [
        {
            "size": [1120, 700],
            "count": 1,
            "visual_tokens": 1000,
            "visual_tokens_at_half_size": 240,
        }
    ]


def test_a_folder_of_images(run: Run, tmp_path: Path):
    for name, size in (("a.png", (112, 112)), ("b.png", (112, 112)), ("c.jpg", (224, 112))):
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "d.gif").write_bytes(b"GIF")
    given = run("plan", tmp_path, "--model", "mini")
    assert given.code == 0
    assert (
        "images     3 of 2 sizes, 112x112 (16 visual tokens, 4 at half size) to "
        "224x112 (32 visual tokens, 8 at half size)" in given.out
    )
    assert given.err.startswith(f"Note: images left out: 1, the first: {tmp_path / 'd.gif'}: ")
    found = json.loads(run("plan", tmp_path, "--model", "mini", "--json").out)
    assert len(found["left_out"]) == 1


def test_counts_of_sizes(run: Run):
    """16 visual tokens three times and 64 once: 28 on average."""
    sizes = ("--image-size", "112x112:3", "--image-size", "224x224")
    found = json.loads(run("plan", "--model", "mini", *sizes, "--json").out)
    assert found["policies"][0]["visual_tokens"] == 28


def test_a_server_without_a_prefix_cache(run: Run):
    kept, again = (
        json.loads(run("plan", *SEVEN, *flag, "--json").out)
        for flag in ((), ("--no-prefix-cache",))
    )
    assert again["break_even"]["prefill_flops"] < 0.3 < 0.7 < kept["break_even"]["prefill_flops"]
    assert again["policies"][:2] == kept["policies"][:2]
    assert "prefilled each time" in run("plan", *SEVEN, "--no-prefix-cache").out


def test_nothing_heavy_is_loaded():
    code = (
        "import sys; from visionthink.cli.main import main\n"
        "try: main(['plan'])\n"
        "except SystemExit: print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--model", "Qwen2.5-VL-8B"), 2, "did you mean Qwen/Qwen2.5-VL-7B-Instruct"),
        (("--model", "minni"), 2, "did you mean mini or mini-sft? Or give a folder"),
        (("--model", "./nothing"), 1, "there is no config.json in 'nothing'"),
        (("--image-size", "big"), 2, "must be WIDTHxHEIGHT or WIDTHxHEIGHT:COUNT"),
        (("--image-size", "0x10"), 2, "got '0x10'"),
        (("--image-size", "10x10:0"), 2, "got '10x10:0'"),
        (("--image-size", "9000x9"), 1, "a longer strip than 200:1"),
        (("--request-rate", "1.5"), 2, "the request rate must be from 0 to 1; got 1.5"),
        (("--request-rate", "half"), 2, "'half' is not a valid float"),
        (("--text-tokens", "-1"), 2, "text tokens must be at least 0; got -1"),
        (("--max-pixels", "0"), 2, "max_pixels must be at least 1; got 0"),
        (("--profile", "general"), 2, "Invalid value for '--profile'"),
        (("empty",), 1, "folder 'empty' holds no usable image"),
        (("nowhere",), 2, "FOLDER must be a folder of images; 'nowhere' is not a folder"),
        (("empty", "--image-size", "10x10"), 2, "not both"),
    ],
)
def test_errors_are_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    given = run("plan", *arguments)
    assert given.code == code
    assert message in given.err
    assert given.err.count("\n") == 1
