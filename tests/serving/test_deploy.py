"""The files in deploy/ fit the server: metrics, options, paths and files. Linted elsewhere:
scripts/lint_deploy.sh.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.gateways import KEY, QUESTION, request, served, user
from visionthink.cli.serve import command
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.serve_options import ServeOptions

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
KUBERNETES = {
    document["kind"]: document
    for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
MOUNTED = {
    "serve.yaml": (DEPLOY / "serve.yaml").read_text(encoding="utf-8"),
    "gateway.yaml": (DEPLOY / "gateway.yaml").read_text(encoding="utf-8"),
    "kubernetes.yaml": KUBERNETES["ConfigMap"]["data"]["serve.yaml"],
}


def values(inside: Any, name: str) -> Iterator[Any]:
    """Everything called `name`, however deep."""
    for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
        if key == name:
            yield value
        elif isinstance(value, dict | list):
            yield from values(value, name)


def expressions() -> list[str]:
    alerts = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
    (queries,) = re.findall(r"^```promql\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [*values(DASHBOARD, "expr"), *values(alerts, "expr"), *queries.split("\n\n")]


def test_every_metric_in_dashboards_alerts_and_docs_exists_in_a_running_server():
    """Its name, its labels and their values, which are those of samples or stand in its help.

    One answer at once, one after a request, so that all labels of episodes have samples.
    """
    replies = [direct_reply("", "red"), request_reply(""), direct_reply("", "red")]
    with served(ScriptedEngine(replies, profile="agent"), keys=[KEY]) as server:
        for question in (QUESTION, user("Which?", *QUESTION["content"][1:])):
            reply = server.post(request(question), Authorization=f"Bearer {KEY}")
            assert reply.status == 200
        text = server.call("GET", "/metrics").body.decode()
    families = list(text_string_to_metric_families(text))
    samples = {sample.name: family for family in families for sample in family.samples}
    asked = [use for expression in expressions() for use in selectors(expression)]
    for name, labels in asked:
        family = samples[name]
        for label, value in labels.items():
            given = {s.labels[label] for s in family.samples if s.name == name}
            assert value in given | set(re.findall(r"\w+", family.documentation))
    for by in re.findall(r"by \(([\w, ]+)\)", " ".join(expressions())):
        assert set(by.split(", ")) <= {
            label for f in families for s in f.samples for label in s.labels
        }
    unused = {"visionthink_visual_tokens_saved"}  # the share says the same
    there = {family.name for family in families if not family.name.endswith("_created")}
    assert there - {samples[name].name for name, _ in asked} == unused


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    for name, inside in re.findall(r"(visionthink_\w+)(?:\{([^}]*)\})?", expression):
        yield name, dict(re.findall(r'(\w+)="(\w+)"', inside))


def test_panels_have_unique_ids_and_do_not_overlap():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_request_rate_panel_shows_the_break_even():
    """A direct answer processes a quarter, a requested one 1.25: 0.25 + p = 1 at p = 0.75."""
    (panel,) = [
        panel
        for panel in DASHBOARD["panels"]
        if panel["title"] == "Request rate p" and panel["type"] == "timeseries"
    ]
    assert [t["expr"] for t in panel["targets"] if t["legendFormat"] == "break-even"] == [
        "vector(0.75)"
    ]


@pytest.mark.parametrize("name", MOUNTED)
def test_mounted_files_are_valid_configs(name: str):
    options = ServeOptions.model_validate(yaml.safe_load(MOUNTED[name]))
    assert options.api_key_env == "VISIONTHINK_KEYS"
    assert bool(options.upstream.urls) == (name != "serve.yaml")


def test_the_container_starts_serve_with_existing_options():
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", CONTAINERFILE, re.MULTILINE)
    program, verb, *options = json.loads(entry)
    assert (program, verb) == ("visionthink", "serve")
    given = command.make_context("serve", options).params
    assert str(given["config"]) == "/etc/visionthink/serve.yaml"
    assert given["host"] == "0.0.0.0"  # noqa: S104 - inside a container
    assert re.findall(r"^EXPOSE (.*)$", CONTAINERFILE, re.MULTILINE) == [str(ServeOptions().port)]


def test_copied_files_exist_and_are_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert "src" in copied
    assert all((ROOT / source).exists() for source in copied)
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_probes_use_paths_of_the_server():
    paths = {probe["path"] for probe in values(CONTAINER, "httpGet")}
    assert paths == {"/health", "/ready"}
    with served(ScriptedEngine([])) as server:
        assert {server.call("GET", path).status for path in paths} == {200}


def test_grace_periods_are_longer_than_the_drain():
    """Kubernetes waits for preStop, then for the server: 5 + 30 < 45. Compose: 30 < 40."""
    drain = ServeOptions.model_validate(yaml.safe_load(MOUNTED["kubernetes.yaml"])).drain_seconds
    before = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before + drain < POD["terminationGracePeriodSeconds"]
    grace = COMPOSE["services"]["gateway"]["stop_grace_period"]
    assert ServeOptions().drain_seconds < float(grace.removesuffix("s"))


def test_files_that_compose_mounts_exist():
    mounts = [
        mount.split(":")[0]
        for service in COMPOSE["services"].values()
        for mount in service.get("volumes", ())
    ]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert len(files) == 6
    assert all((DEPLOY / file).is_file() for file in files)
    assert {mount for mount in mounts if mount not in files} == set(COMPOSE["volumes"])


def test_kubernetes_labels_volumes_and_ports_match():
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert KUBERNETES[kind]["spec"]["selector"]["matchLabels"] == labels
    assert KUBERNETES["Service"]["spec"]["selector"] == labels
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == set(volumes)
    config = volumes["config"]["configMap"]["name"]
    assert config == KUBERNETES["ConfigMap"]["metadata"]["name"]
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == ServeOptions().port
    assert KUBERNETES["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
