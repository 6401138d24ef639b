"""Custom resources, held against types and validators that others made from the operators' own definitions.

`test_schemas.py` holds them against schemas of ours, which know what we know. Here every literal must fit a closed
TypeScript type, and its value must pass the validator that comes with it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = ROOT / os.environ.get("CACHE", ".cache") / "npm"
PACKAGES = {
    "PodMonitor": "prometheus-operator/monitoring.coreos.com/v1",
    "PrometheusRule": "prometheus-operator/monitoring.coreos.com/v1",
    "ScaledObject": "keda/keda.sh/v1alpha1",
    "GRPCRoute": "gateway-api/gateway.networking.k8s.io/v1",
}
PROGRAM = """\
import {{ {kind}, type I{kind} }} from "@kubernetes-models/{package}/{kind}";
const one: I{kind} = {literal};
new {kind}(one).validate();
"""


def check(kind: str, document: dict, folder: Path) -> str:
    """What the compiler or the validator has against an object; empty if nothing."""
    shutil.copy(MODULES / "package.json", folder)
    (folder / "node_modules").symlink_to(MODULES.resolve() / "node_modules")
    program = PROGRAM.format(kind=kind, package=PACKAGES[kind], literal=json.dumps(document, indent=1))
    (folder / "one.ts").write_text(program, "utf-8")
    # The packages' own inner types are not our business.
    tsc = [
        "node_modules/.bin/tsc",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "one.ts",
    ]
    for command in (tsc, ["node", "one.js"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout + done.stderr
    return ""


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_custom_resource_is_what_its_operator_reads(install, tmp_path, kind):
    """No field that the operator does not know, none of the wrong type, none that is missing."""
    assert check(kind, install("base with everything").one(kind), tmp_path) == ""


MISTAKES = {
    "PodMonitor": lambda spec: spec["podMetricsEndpoints"][0].update(intervall="15s"),
    "PrometheusRule": lambda spec: spec["groups"][0]["rules"][0].update(expresion="1"),
    "ScaledObject": lambda spec: spec["triggers"][0]["metadata"].update(threshold=2048),
    "GRPCRoute": lambda spec: spec["rules"][0]["backendRefs"][0].update(port="50051"),
}


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_mistake_is_found(install, tmp_path, kind):
    """A field with a typo, a number for a text, a text for a number."""
    document = install("base with everything").one(kind)
    MISTAKES[kind](document["spec"])

    assert check(kind, document, tmp_path)
