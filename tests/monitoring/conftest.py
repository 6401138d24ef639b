"""The dashboard and the rules as data: expressions, and what they select."""

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from dragoman.server.app.app import _HEALTH, SERVICE
from dragoman.server.core.limits import RequestLimits
from dragoman.server.core.ports import DeviceWork
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.overload import Overload, Resource
from dragoman.server.telemetry.request_metrics import Metrics
from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.telemetry.state_metrics import Build, StateMetrics
from dragoman.server.testing import FakeLanes, write_bundle
from dragoman.server.text.tokenizer import Tokenizer

MONITORING = Path(__file__).parents[2] / "deploy/monitoring"
_STRINGS = re.compile(r'"[^"]*"')
_BRACES = re.compile(r"\{[^}]*\}")
_LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{[^}]*\})?")
_WORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "group_left", "group_right", "offset"}


@dataclass(frozen=True)
class Expression:
    """PromQL and where it stands."""

    place: str
    promql: str

    def __str__(self) -> str:
        return self.place

    def selectors(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Metrics with the labels that they are selected by; a label's value as it stands."""
        plain = _LABEL_LISTS.sub("", self.promql)
        plain = re.sub(r"\[[^\]]*\]", "", plain)
        for name, braces in _NAME.findall(plain):
            if name not in _WORDS:
                yield name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', braces))

    def grouped(self) -> set[str]:
        """Labels that results are grouped or joined by."""
        lists = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", self.promql)
        return {label.strip() for one in lists for label in one.split(",") if label.strip()}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def of_panels() -> list[Expression]:
    return [
        Expression(f"panel {panel['title']}, {target['legendFormat']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]


def of_rules() -> list[Expression]:
    def place(rule: dict[str, Any]) -> str:
        return f"{rule.get('record') or rule['alert']} {rule.get('labels', {}).get('long', '')}".strip()

    return [Expression(f"rule {place(rule)}", rule["expr"]) for rule in rules()]


@pytest.fixture(scope="session")
def expressions() -> list[Expression]:
    """Every expression of the dashboard and the rules."""
    return [*of_panels(), *of_rules()]


@pytest.fixture(scope="session")
def monitoring() -> Path:
    return MONITORING


@pytest.fixture(scope="session")
def script() -> Iterator[Callable[[str], Any]]:
    """Imports one of the scripts beside the dashboard."""
    sys.path.insert(0, str(MONITORING))
    yield importlib.import_module
    sys.path.remove(str(MONITORING))


@pytest.fixture(scope="session")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every sample that a server exposes, and its labels; Prometheus adds `job` and `instance`."""
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "bundle")
    lanes = FakeLanes()
    lanes.device = DeviceWork({("device.step", True): 1})
    pipeline = Pipeline(bundle, Tokenizer(bundle), lanes, RequestLimits(1, 1, 1, 1, 1, 1), None)  # type: ignore[arg-type]
    registry = CollectorRegistry()
    Metrics(registry, [pipeline.name])
    cache = Cache(0)
    cache.of(pipeline.name, "abc")
    registry.register(StateMetrics([pipeline], Build("0", "0", "0", "cpu"), cache))
    Overload([Resource("memory", lambda: 0.0)], registry)
    RpcMetrics(registry, [(one.full_name, method) for one in (SERVICE, _HEALTH) for method in one.methods])
    for collector in (ProcessCollector, GCCollector):
        collector(registry=registry)
    lanes.close()
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for metric in registry.collect():
        for sample in metric.samples:
            found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return found
