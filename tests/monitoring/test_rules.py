"""The rules' form, and their behaviour in promtool's simulated time."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragoman.server.telemetry.request_metrics import ANSWERED, FAULTS, OUTCOMES


@pytest.fixture(scope="module")
def alerts(monitoring: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((monitoring / "rules.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_the_objective_judges_every_outcome(monitoring: Path, script: Callable[[str], Any]) -> None:
    """A request is answered, or is not the server's fault, or is a failure: an outcome that is new is none of these.

    In every window, and on the dashboard.
    """
    groups = yaml.safe_load((monitoring / "rules.yaml").read_text("utf-8"))["groups"]
    ratios = [rule["expr"] for group in groups for rule in group["rules"] if ":error_ratio_" in rule.get("record", "")]
    dashboard = script("dashboard")

    assert len(ratios) == 7
    for expression in (*ratios, f"{dashboard.FAILED} {dashboard.VALID}"):
        [failed] = re.findall(r'outcome=~"([^"]+)"', expression)
        [excused] = re.findall(r'outcome!~"([^"]+)"', expression)
        assert sorted(failed.split("|")) == sorted(FAULTS)
        assert sorted([*failed.split("|"), *excused.split("|"), *ANSWERED]) == sorted(OUTCOMES)


def test_every_alert_tells_what_how_bad_and_what_to_do(alerts: list[dict[str, Any]], monitoring: Path) -> None:
    """A severity, a sentence that is always the same, one with the facts, and a section of the runbook."""
    headings = re.findall(r"^### (\w+)$", (monitoring / "README.md").read_text("utf-8"), re.MULTILINE)

    assert {alert["alert"] for alert in alerts} == set(headings)
    assert len(set(headings)) == len(headings)
    for alert in alerts:
        assert alert["alert"].startswith("Dragoman")
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"[^{}]+\.", alert["annotations"]["summary"])
        assert alert["annotations"]["description"].endswith(".")
        assert alert["annotations"]["runbook_url"] == f"deploy/monitoring/README.md#{alert['alert'].lower()}"


def test_every_alert_is_tested_firing_and_silent(alerts: list[dict[str, Any]], monitoring: Path) -> None:
    """Of those with several windows, each window fires in a case of its own."""
    cases = yaml.safe_load((monitoring / "rules_test.yaml").read_text("utf-8"))["tests"]
    asked = [one for case in cases for one in case["alert_rule_test"]]
    fired = {(one["alertname"], found["exp_labels"].get("long")) for one in asked for found in one["exp_alerts"]}
    silent = {one["alertname"] for one in asked if not one["exp_alerts"]}

    assert fired == {(alert["alert"], alert["labels"].get("long")) for alert in alerts}
    assert silent == {alert["alert"] for alert in alerts}


def test_the_burn_rates_are_those_of_the_objectives(alerts: list[dict[str, Any]]) -> None:
    """14.4 and 6 budgets wake somebody, 3 and 1 can wait until morning; the short window ends what is over."""
    table = [("14.4", "1h", "5m", "critical"), ("6", "6h", "30m", "critical"), ("3", "1d", "2h", "warning")]
    table.append(("1", "3d", "6h", "warning"))
    for name, ratio, budget in (
        ("DragomanErrorBudgetBurn", "error", "0.001"),
        ("DragomanLatencyBudgetBurn", "slow", "0.01"),
    ):
        found = [alert for alert in alerts if alert["alert"] == name]
        assert [(one["labels"]["long"], one["labels"]["short"], one["labels"]["severity"]) for one in found] == [
            row[1:] for row in table
        ]
        for alert, (factor, long, short, _) in zip(found, table, strict=True):
            for window in (long, short):
                assert f"job:dragoman_requests:{ratio}_ratio_rate{window} > {factor} * {budget}" in alert["expr"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed; make test-monitoring has it")
def test_promtool_agrees(monitoring: Path) -> None:
    """Syntax, and every case of rules_test.yaml, in simulated time."""
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=monitoring, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
