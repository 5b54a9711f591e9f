"""Episodes of run folders as cards: which are shown, and what becomes of records."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from acting import EXTREME, answered, play, requested, scene, zoomed
from evaluation_runs import line, write_evaluation
from PIL import Image
from training_runs import ramp, sample, write_run
from walking import Walk, check_alone

from visionthink.core.protocol import direct_reply, request_reply
from visionthink.reports.evaluation_runs import EvaluationRun, read_evaluations
from visionthink.reports.gallery import (
    choose,
    episode_of,
    evaluation_gallery,
    spread,
    training_gallery,
)
from visionthink.reports.report import Gallery, Report
from visionthink.reports.training_runs import TrainingRun, read_runs

ROWS = [{"suite": "mini", "family": "all", "policy": "low", "n": 1, "accuracy": 1.0}]


def walk_of(gallery: Gallery) -> Walk:
    walk = Walk(Report("Title", "Summary", [gallery]).html())
    check_alone(walk)
    return walk


def evaluated(path: Path, episodes: list[dict[str, Any]]) -> EvaluationRun:
    (run,) = read_evaluations([write_evaluation(path, ROWS, episodes=episodes)])
    return run


def evaluation_walk(path: Path, episodes: list[dict[str, Any]]) -> Walk:
    return walk_of(evaluation_gallery(choose([evaluated(path, episodes)], 48)))


def trained(path: Path, records: list[dict[str, Any]]) -> TrainingRun:
    (run,) = read_runs([write_run(path, ramp(1), episodes=records)])
    return run


def training_walk(path: Path, records: list[dict[str, Any]]) -> Walk:
    return walk_of(training_gallery(spread(trained(path, records), 48)))


def classes(walk: Walk) -> list[str]:
    return [each["class"] for each in walk.named("details") if "class" in each]


# Cards


def test_an_episode_of_training_and_its_reward(tmp_path: Path):
    records = [
        sample(requested(), 5, family="receipt", kind="strong", answer_expected="4.20"),
        sample(answered(), 10, family="colour", kind="weak"),
    ]
    walk = training_walk(tmp_path / "a", records)
    text = walk.rows()
    assert "step 5, receipt, requested, right, strong How much is the tea? → 4.20" in text
    assert "Right answer 4.20" in text
    assert "accuracy +1.000, format +0.500, control -0.100, total +1.400, advantage +0.250" in text
    assert classes(walk) == ["sample requested right strong", "sample direct right weak"]
    assert "125 % of vanilla" in text.replace("\xa0", " ")


def test_an_episode_of_an_evaluation_and_the_answers_of_other_policies(tmp_path: Path):
    metadata = {"family": "receipt", "kind": "strong"}
    episodes = [
        line(requested(), "auto", metadata=metadata),
        line(answered(), "low", metadata=metadata, score=0.0),
        line(answered(), "low", id="2", metadata=metadata),
    ]
    walk = evaluation_walk(tmp_path / "a", episodes)
    text = walk.rows()
    assert "auto, receipt, requested, right How much is the tea? → 4.20" in text
    assert "low, receipt, direct, wrong What colour is the house? → red" in text
    assert "Right answer red" in text
    assert "Score 1, by rules low red (wrong)" in text
    assert "Score 0, by rules auto 4.20 (right, requested)" in text
    assert " of 3 episodes" in text
    assert classes(walk) == [
        "sample requested right policy-0 family-0 run-0",
        "sample direct wrong policy-1 family-0 run-0",
        "sample direct right policy-1 family-0 run-0",
    ]


def test_a_collapsed_episode_shows_its_answer(tmp_path: Path):
    """Also a long one, cut; an episode without an answer has none."""
    long = play([scene()], "Q?", [direct_reply("", "x" * 100)])
    records = [sample(each, at) for at, each in enumerate((long, EXTREME["nothing said"]))]
    cards = training_gallery(spread(trained(tmp_path / "a", records), 9)).cards
    assert [card["answer"] for card in cards] == ["x" * 59 + "…", ""]


def test_samples_that_failed_are_shown_with_the_reason(tmp_path: Path):
    failed: dict[str, Any] = {"score": None, "by": None, "error": "<b>no verdict</b>"}
    episodes = [line(answered(), "low", **failed), line(None, "high", id="2", **failed)]
    text = evaluation_walk(tmp_path / "a", episodes).rows()
    assert "low, mini, direct, failed What colour is the house?" in text
    assert "high, mini, failed Never asked?" in text
    assert text.count("Failed <b>no verdict</b>") == 2
    assert "cannot be shown" not in text


# What can be chosen


def test_choices_are_between_what_is_there(tmp_path: Path):
    """Two policies, one family, one run, two verdicts; each choice has its rule."""
    episodes = [line(requested(), "auto"), line(answered(), "low", score=0.0)]
    gallery = evaluation_gallery(choose([evaluated(tmp_path / "a", episodes)], 9))
    ids = [each["id"] for each in walk_of(gallery).named("input")]
    assert ids == [
        *("show-any-policy", "show-policy-0", "show-policy-1"),
        *("show-any-way", "show-direct", "show-requested"),
        *("show-any-verdict", "show-right", "show-wrong"),
    ]
    for name in ids:
        if "any-" not in name:
            mark = name.removeprefix("show-")
            assert f":has(#{name}:checked) .sample:not(.{mark})" in gallery.style


def test_empty_kind_filters_are_not_shown(tmp_path: Path):
    """Of weak, strong and lucky only weak and strong episodes are there; then only weak ones."""
    records = [sample(answered(), at, kind=kind) for at, kind in enumerate(("weak", "strong"))]
    both = training_gallery(spread(trained(tmp_path / "a", records), 9))
    assert list(both.choices) == ["kind"]
    assert list(both.choices["kind"]) == ["any-kind", "weak", "strong"]
    one = training_gallery(spread(trained(tmp_path / "b", records[:1]), 9))
    assert one.choices == {}


# Records


@pytest.mark.parametrize("name", EXTREME)
def test_any_episode_comes_back_from_its_record(tmp_path: Path, name: str):
    episode = EXTREME[name]
    (record,) = trained(tmp_path / "a", [sample(episode, 1)]).folder.episodes()
    found, _ = episode_of(record, tmp_path)
    assert [turn.text for turn in found.turns] == [turn.text for turn in episode.turns]
    assert (found.answer, found.requested) == (episode.answer, episode.requested)
    assert found.stop_reason is episode.stop_reason
    assert found.ledger.processed == episode.ledger.processed
    assert found.ledger.vanilla == episode.ledger.vanilla
    assert [facts(look) for look in found.looks] == [facts(look) for look in episode.looks]


def facts(look: Any) -> tuple[Any, ...]:
    return look.turn, look.image, look.action, look.box, look.size, look.visual_tokens


def first_version(record: dict[str, Any]) -> dict[str, Any]:
    """The same record as the first version had it."""
    return {key: value for key, value in record.items() if key != "looks"} | {"version": 1}


def test_records_of_version_1_have_looks_of_their_turns(tmp_path: Path):
    episode = requested()
    found, note = episode_of(first_version(sample(episode, 1)), tmp_path)
    assert note == ""
    assert [facts(look) for look in found.looks] == [facts(look) for look in episode.looks]
    assert found.looks[0].picture.size == (224, 168)


def test_tokens_of_several_images_of_version_1_add_up(tmp_path: Path):
    """448 x 336, 448 x 336 and 200 x 900 px at half size: divided by area, the sum is exact."""
    episode = EXTREME["three images"]
    found, _ = episode_of(first_version(sample(episode, 1)), tmp_path)
    for turn in range(len(episode.turns)):
        ours, theirs = found.looks_of(turn), episode.looks_of(turn)
        assert sum(look.visual_tokens for look in ours) == sum(x.visual_tokens for x in theirs)
        assert [look.size for look in ours] == [look.size for look in theirs]


def test_parts_of_images_are_shown(tmp_path: Path):
    text = training_walk(tmp_path / "a", [sample(zoomed(), 1)]).rows().replace("\xa0", " ")
    assert "Region, x 50-87.5 %, y 0-50 % 168 x 168 px, 36 visual tokens" in text


def test_an_original_beyond_the_models_pixel_limit_is_not_legible(tmp_path: Path):
    """The record keeps 448 x 299 px of it; the model saw 168 x 112."""
    replies = [request_reply("a"), direct_reply("b", "c")]
    episode = play([Image.new("RGB", (1500, 1000))], "Q?", replies, max_pixels=20_000)
    walk = training_walk(tmp_path / "a", [sample(episode, 1)])
    _, original, *_ = walk.named("img")
    data = base64.b64decode(original["src"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (168, 112)
    assert "Original 168 x 112 px, 24 visual tokens" in walk.rows().replace("\xa0", " ")


def test_images_may_be_files_of_the_run(tmp_path: Path):
    record = sample(answered(), 1, images=["1.png"])
    Image.new("RGB", (224, 168), "red").save(tmp_path / "1.png")
    episode, note = episode_of(record, tmp_path)
    assert note == ""
    assert episode.looks[0].picture.image.getpixel((0, 0)) == (255, 0, 0)


def test_images_that_were_kept_smaller_say_so(tmp_path: Path):
    episode = play([Image.new("RGB", (1792, 896))], "Large?", [direct_reply("", "yes")])
    _, note = episode_of(sample(episode, 1), tmp_path)
    assert note.replace("\xa0", " ") == (
        "images are kept smaller than the model saw them: 896 x 448 px"
    )


IMAGE = "data:image/png;base64,"
SPOILT: list[tuple[dict[str, Any], str]] = [
    ({"images": None}, "the images that the model saw were not kept"),
    ({"images": [IMAGE]}, "cannot read"),
    ({"images": [IMAGE + "!!"]}, "an image of the record is not valid base64"),
    ({"images": [7]}, "an image of the record is not text"),
    ({"images": ["../../../etc/passwd"]}, "an image of the record is outside its run folder"),
    ({"images": ["http://evil.example/x.png"]}, "cannot read"),
    ({"profile": "<x>"}, "its profile, <x>, is not known here"),
    ({"reward": None}, "unscored"),
    ({"version": 3}, "This record cannot be shown: ValueError: it is of version 3"),
    ({"look": "up"}, "This record cannot be shown: ValueError: there is no look 'up'"),
    ({"looks": 5}, "This record cannot be shown: TypeError"),
    ({"looks": [{}]}, "This record cannot be shown: KeyError"),
    ({"stop_reason": "bored"}, "This record cannot be shown: ValueError"),
    ({"turns": 5}, "This record cannot be shown: TypeError"),
    ({"ledger": {}}, "This record cannot be shown: KeyError: 'visual_tokens'"),
]


@pytest.mark.parametrize(("damage", "note"), SPOILT)
def test_spoilt_records_of_training_become_notes(tmp_path: Path, damage: dict[str, Any], note: str):
    records = [{**sample(answered(), 1), **damage}, sample(requested(), 2)]
    text = training_walk(tmp_path / "a", records).rows()
    assert note in text
    assert "How much is the tea?" in text


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        ({"images": ["data:image/png;base64,!!"]}, "an image of the record is not valid base64"),
        ({"turns": 5}, "This record cannot be shown: TypeError"),
        ({"ledger": None}, "This record cannot be shown: TypeError"),
        ({"policy": 7, "question": None, "suite": None}, " direct, right None"),
        ({"score": "high", "by": 3}, "Score none "),
    ],
)
def test_spoilt_records_of_evaluations_become_notes(
    tmp_path: Path, damage: dict[str, Any], note: str
):
    spoilt = {**line(answered(), "low"), **damage}
    text = evaluation_walk(tmp_path / "a", [spoilt, line(requested(), "auto", id="2")]).rows()
    assert note in text
    assert "How much is the tea?" in text


# Which episodes are shown


@pytest.mark.parametrize(
    ("most", "expected"), [(0, []), (1, [9]), (2, [4, 9]), (3, [3, 6, 9]), (20, list(range(10)))]
)
def test_samples_are_spread_over_the_run(tmp_path: Path, most: int, expected: list[int]):
    run = trained(tmp_path / "a", [{"id": at} for at in range(10)])
    assert [found.record["id"] for found in spread(run, most)] == expected


def kept(run: EvaluationRun, most: int) -> list[tuple[Any, Any]]:
    return [(shown.record["policy"], shown.record["id"]) for shown in choose([run], most)]


def test_rare_outcomes_are_shown_as_well(tmp_path: Path):
    """Of two policies in turn, and of nine right answers and a wrong one; auto comes first."""
    episodes = [line(answered(), "low", id=f"l{at}", score=float(at != 5)) for at in range(10)]
    episodes += [line(requested(), "auto", id=f"a{at}") for at in range(10)]
    run = evaluated(tmp_path / "a", episodes)
    assert [policy for policy, _ in kept(run, 2)] == ["auto", "low"]
    found = kept(run, 4)
    assert [policy for policy, _ in found] == ["auto", "auto", "low", "low"]
    assert ("low", "l5") in found
    assert len(kept(run, 100)) == 20
    assert kept(run, 0) == []


def test_episodes_with_images_come_first(tmp_path: Path):
    episodes = [line(answered(), "low", id=str(at)) for at in range(4)]
    for record in episodes[:3]:
        del record["images"]
    run = evaluated(tmp_path / "a", episodes)
    assert kept(run, 1) == [("low", "3")]
    assert len(kept(run, 9)) == 4
