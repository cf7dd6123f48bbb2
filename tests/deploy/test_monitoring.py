"""The alert rules and the dashboard, compared with the existing metrics and workers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import services.gateway.metrics
import services.monitoring.health.metrics
import shared.observability.metrics
from sandbox.workers import worker_names

DEPLOY = Path(__file__).parents[2] / "deploy"
_OUTCOMES = {"succeeded", "rejected", "failed", "retried", "dead_lettered"}


def expressions() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    found = {rule["alert"]: rule["expr"] for rule in rules}
    for panel in json.loads((DEPLOY / "grafana" / "tallystick.json").read_text())["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


def exported() -> set[str]:
    assert shared.observability.metrics.HANDLED is not None
    assert services.gateway.metrics.REQUESTS is not None
    assert services.monitoring.health.metrics.STREAM_BYTES is not None
    names = set()
    for metric in REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
        names |= {metric.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize(("name", "expression"), expressions().items())
def test_it_asks_for_metrics_that_exist(name: str, expression: str) -> None:
    asked_for = set(re.findall(r"\btallystick_\w+", expression))
    assert asked_for or 'up{job="tallystick"}' in expression, name
    assert asked_for <= exported(), name


@pytest.mark.parametrize(("name", "expression"), expressions().items())
def test_it_asks_for_outcomes_that_exist(name: str, expression: str) -> None:
    asked_for = {
        outcome for value in re.findall(r'outcome=~?"([^"]+)"', expression) for outcome in value.split("|")
    }
    assert asked_for <= _OUTCOMES, name


def test_every_alert_says_what_to_do() -> None:
    for rule in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]:
        assert rule["annotations"]["action"], rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]


def test_every_worker_is_scraped() -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = configuration["scrape_configs"][0]["static_configs"][0]["targets"]
    assert set(targets) == {f"{worker}:8080" for worker in worker_names()}


def test_every_tested_alert_exists() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", [])}
    assert tested
    assert tested <= set(expressions())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_the_rules_pass_their_own_tests() -> None:
    command = ["promtool", "test", "rules", str(DEPLOY / "prometheus" / "alerts_test.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
