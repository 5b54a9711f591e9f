"""The prompt files, byte for byte: the released checkpoints answer to exactly these texts."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest

from visionthink.core.protocol import PROFILES

FILES = resources.files("visionthink.core") / "prompts"

SUMS = """
e730df60665863e39ad32375eb0392f6a1f781ec09c27b8dad9cc0010b3702c0  agent_system.txt
2edb106ed1bf0694165a70d839aef58325011bc8e7b8dc6cb254e63b80aea95d  agent_tool_error.txt
109a03b55d4b03e415cb51aced450f17d84333f2079fb6a602802fa3878a800e  agent_tool_response.txt
1a39482ea3307136fba28c774395893956084482cb400ee6e64131c7aac63b57  agent_user.txt
820c3746a89158f4dd9098221b2eeeee5fb829b1c6b607b6b93eadf6d4ef69d0  general_system.txt
e5b7e4549edd744d49fc1cee7f7134e245c33dbc7b9e8382e27ff5280a7a9c9c  general_user.txt
35e135a53f6a53477dbf9bfa62839e147fd3d38921aa4cf2a0aa4928be5dc12e  judge_system.txt
da9816361208f6beb937089cb9f67da44b739a8652cf3b60052fbecb029e31a9  judge_user.txt
6afada2c7cf0c995a7d41aa7a54b4944ceff6c2e5a001f47ac19f78baabf54a7  mini_direct_system.txt
f179497123b4570b95c72a5c3119798a364e068a6473632005785014be24bf83  mini_system.txt
1f4633f4a450c03510a851e41830b4859e4dbc081e20f378abc9c26bf90f272a  mini_tool_error.txt
e8039b36159f06e6daa45cf717101559cf0c86d954825a8022ec63dc9a025cf3  mini_tool_response.txt
e5b7e4549edd744d49fc1cee7f7134e245c33dbc7b9e8382e27ff5280a7a9c9c  mini_user.txt
75357d685f238b6afd7738be9786fdafde641eb6ca9a3be7471939715a68a4de  simple_resize_system.txt
b56063ed502896a62769d2277f32313748e5a555d373414a4a8d4f4844b74ce8  simple_resize_user.txt
5f308e5edf812d818b34741e3e43fb740aaeb3e80aaec3390bc54fcdacc74545  simple_think_resize_system.txt
103407c7006cf77927f1ab38b927d64b2cd16fad60ce49f5bd493283e4c331c8  simple_think_resize_user.txt
"""
SHA256 = {name: digest for digest, name in map(str.split, SUMS.strip().splitlines())}
"""The mini files are ours and may change with a new embedded checkpoint; the others never."""

PROFILE_FILES = {
    "agent": {
        "system": "agent_system",
        "user": "agent_user",
        "tool_response": "agent_tool_response",
        "tool_error": "agent_tool_error",
    },
    "general": {"system": "general_system", "user": "general_user"},
    "simple-resize": {
        "system": "simple_resize_system",
        "user": "simple_resize_user",
        "tool_response": "agent_tool_response",
    },
    "simple-think-resize": {
        "system": "simple_think_resize_system",
        "user": "simple_think_resize_user",
        "tool_response": "agent_tool_response",
    },
    "mini": {
        "system": "mini_system",
        "user": "mini_user",
        "tool_response": "mini_tool_response",
        "tool_error": "mini_tool_error",
    },
    "mini-direct": {"system": "mini_direct_system", "user": "mini_user"},
}


def test_there_is_no_other_prompt_file():
    assert sorted(file.name for file in FILES.iterdir()) == sorted(SHA256)


@pytest.mark.parametrize("name", SHA256)
def test_prompt_file(name: str):
    assert hashlib.sha256((FILES / name).read_bytes()).hexdigest() == SHA256[name]


def test_there_is_no_other_profile():
    assert list(PROFILES) == list(PROFILE_FILES)


@pytest.mark.parametrize("name", PROFILE_FILES)
def test_profile_texts_are_the_files(name: str):
    profile = PROFILES[name]
    assert profile.name == name
    for part in ("system", "user", "tool_response", "tool_error"):
        text = getattr(profile, part)
        file = PROFILE_FILES[name].get(part)
        expected = None if file is None else (FILES / f"{file}.txt").read_bytes()
        assert (None if text is None else text.encode("utf-8")) == expected


@pytest.mark.parametrize(
    ("name", "marker", "thinks", "direct"),
    [
        ("agent", None, True, "general"),
        ("general", None, True, "general"),
        ("simple-resize", "<resize></resize>", False, "general"),
        ("simple-think-resize", "<resize>", True, "general"),
        ("mini", None, True, "mini-direct"),
        ("mini-direct", None, True, "mini-direct"),
    ],
)
def test_profile_rules(name: str, marker: str | None, thinks: bool, direct: str):
    profile = PROFILES[name]
    assert (profile.marker, profile.thinks, profile.direct) == (marker, thinks, direct)
    assert profile.can_request == ("tool_response" in PROFILE_FILES[name])
    assert not PROFILES[profile.direct].can_request


def test_placeholders():
    """Where an image, the question and an error go: once each, and nowhere else."""
    for profile in PROFILES.values():
        texts = (
            profile.system,
            profile.user,
            profile.tool_response or "",
            profile.tool_error or "",
        )
        found = [
            [text.count(mark) for mark in ("{image}", "{question}", "{error}")] for text in texts
        ]
        assert found[0] == [0, 0, 0]
        assert found[1] == [1, 1, 0]
        assert found[2] == [int(profile.can_request), 0, 0]
        assert found[3] == [0, 0, int(profile.tool_error is not None)]
