"""The dashboard's form. That its panels show something is shown by a live server: `make test-monitoring`."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTER = re.compile(r"\b\w+_(?:total|count|sum|bucket)\b")
IN_FLIGHT = "panel Requests in flight, in flight"
"""The one place where two counters are compared as they are."""


def pictures(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_derived_files_are_up_to_date(monitoring: Path, script: Callable[[str], Any]) -> None:
    """Run deploy/monitoring/generate.py after a change."""
    for name, text in script("generate").derived().items():
        assert (monitoring / name).read_text("utf-8") == text, name


def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    """A title that no other has, a sentence, a unit, and something to show."""
    titles = [panel["title"] for panel in pictures(dashboard)]

    assert len(set(titles)) == len(titles)
    for panel in pictures(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]


def test_the_rows_are_those_that_an_engineer_reads_down(dashboard: dict[str, Any]) -> None:
    """From the promise, through what breaks it, to the machine."""
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]

    assert rows == [
        "Objectives",
        "Traffic",
        "Latency",
        "Stages",
        "Lanes and batches",
        "GPU",
        "Throughput",
        "Texts",
        "Admission",
        "Overload",
        "Host",
        "Replicas",
    ]


def test_no_two_panels_cover_each_other(dashboard: dict[str, Any]) -> None:
    """And none reaches beyond Grafana's 24 columns."""
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x, y in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)


def test_it_works_with_any_data_source_job_and_instance(dashboard: dict[str, Any], expressions: list[Any]) -> None:
    """Nothing is wired to one Prometheus; every expression follows the variables, as far as its labels go."""
    assert [one["name"] for one in dashboard["templating"]["list"]] == ["datasource", "job", "instance", "model"]
    assert all(panel["datasource"]["uid"] == "$datasource" for panel in pictures(dashboard))
    assert dashboard["editable"] is False
    for expression in expressions:
        if not expression.place.startswith("panel"):
            continue
        for metric, labels in expression.selectors():
            assert labels["job"] == "$job", expression
            if not metric.startswith("job:") and expression.place not in ("panel Busiest over idlest, ratio",):
                assert labels.get("instance") == "$instance" or metric in ("up", "instance:dragoman_requests:rate5m")


def test_counters_are_shown_as_rates_over_grafanas_own_interval(expressions: list[Any]) -> None:
    """A fixed window hides scrapes or needs more of them than there are; only sums over the shown time differ."""
    for expression in expressions:
        if not expression.place.startswith("panel"):
            continue
        windows = set(re.findall(r"rate\([^\[]*\[([^\]]*)\]", expression.promql))
        assert windows <= {"$__rate_interval"}, expression
        if expression.place == IN_FLIGHT:
            continue
        for metric, _ in expression.selectors():
            if COUNTER.fullmatch(metric):
                assert re.search(rf"(?:rate|increase)\({metric}\b", expression.promql), expression


def test_every_metric_and_label_exists(expressions: list[Any], exposed: dict[str, set[str]]) -> None:
    """In what a server exposes, or among the recording rules: a renamed metric fails here before it blinds anybody."""
    recorded = {expression.place.removeprefix("rule ") for expression in expressions}
    for expression in expressions:
        known: set[str] = set()
        for metric, labels in expression.selectors():
            if metric in recorded:
                known |= {"job", "instance"}
                continue
            assert metric in exposed, f"{expression}: no metric {metric}"
            assert labels.keys() <= exposed[metric], f"{expression}: {metric} has {sorted(exposed[metric])}"
            known |= exposed[metric]
        assert expression.grouped() <= known, f"{expression}: groups by {expression.grouped() - known}"
