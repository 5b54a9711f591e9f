"""docs/serving.md is right about options, fields and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from serving.gateways import QUESTION, request, served
from visionthink.core.protocol import direct_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.chat_request import NEUTRAL
from visionthink.serving.known_fields import IGNORED_HERE, MEANT
from visionthink.serving.serve_options import ServeOptions

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_config_shows_every_option_with_its_default():
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    shown = yaml.safe_load(text)
    assert shown == ServeOptions().model_dump(mode="json")
    assert ServeOptions.model_validate(shown) == ServeOptions()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Given a meaning", MEANT),
        ("Ignored by a model in this process", IGNORED_HERE),
        ("Refused by it", set(NEUTRAL)),
    ],
)
def test_every_field_is_listed_under_its_kind(kind: str, names: set[str]):
    (item,) = re.findall(rf"^- \*\*{kind}\*\*(.*?)^- ", PAGE, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", item)) == names


def test_every_metric_is_documented():
    documented = set(re.findall(r"`(visionthink_\w+)", PAGE))
    with served(ScriptedEngine([direct_reply("", "red")], profile="agent")) as server:
        assert server.post(request(QUESTION)).status == 200
        text = server.call("GET", "/metrics").body.decode()
    names = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    assert documented == {name for name in names if not name.endswith("_created")}
