"""Every object that an installation sends is one that clusters accept, to the last field name."""

import json
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES = [f"1.{minor}" for minor in range(29, 38)]
IMAGE_VOLUMES_SINCE = 31
"""The first minor version of Kubernetes that knows them."""
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}, "labels": TEXTS, "annotations": TEXTS},
}
CUSTOM = yaml.safe_load(Path(__file__).with_name("custom_resources.yaml").read_text("utf-8"))


def problem(document: dict, version: str) -> str:
    """What a strict reader of this version has against an object; empty if nothing."""
    return problem_of(json.dumps(document), version)


@cache  # most objects are the same in many installations
def problem_of(text: str, version: str) -> str:
    document = json.loads(text)
    custom = CUSTOM.get(f"{document['apiVersion']} {document['kind']}")
    try:
        if custom:
            schema = {
                "type": "object",
                "additionalProperties": False,
                "required": ["metadata", "spec"],
                "properties": {"apiVersion": True, "kind": True, "metadata": METADATA, "spec": custom},
                "$defs": CUSTOM["$defs"],
            }
            jsonschema.Draft202012Validator(schema).validate(document)
        else:
            kubernetes_validate.validate(document, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return error.message
    return ""


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_pass_the_strict_schemas_of_every_version(installation, version):
    """No unknown field, no unknown kind, from the oldest version to the newest."""
    if "model-image" in installation.name and version in KUBERNETES[: IMAGE_VOLUMES_SINCE - 29]:
        assert "image" in problem(installation.one("Deployment"), version), "the README's oldest version is wrong"
        return

    problems = {f"{one['kind']} {one['metadata']['name']}": problem(one, version) for one in installation.objects}

    assert {name: text for name, text in problems.items() if text} == {}


def test_all_kinds_of_custom_resources_are_met(install):
    """No schema is written for nothing, and the installation of everything has one of each."""
    met = {f"{one['apiVersion']} {one['kind']}" for one in install("base with everything").objects}

    assert set(CUSTOM) - {"$defs"} - met == set()


MISTAKES = {
    "a key with a typo": ("Deployment", ("spec", "template", "spec", "terminationGracePeriodsSeconds"), 60),
    "a text for a number": ("Deployment", ("spec", "replicas"), "two"),
    "a probe of a later version": ("Deployment", ("spec", "template", "spec", "containers", 0, "livenessProbes"), {}),
    "a custom key with a typo": ("PodMonitor", ("spec", "podMetricsEndpoint"), []),
    "a number where KEDA wants a text": ("ScaledObject", ("spec", "triggers", 0, "metadata", "threshold"), 2048),
    "a route without a valid service": ("GRPCRoute", ("spec", "rules", 0, "matches", 0, "method", "service"), "/a.B"),
    "metadata with a typo": ("PodMonitor", ("metadata", "label"), {}),
    "an unknown kind": ("PodMonitor", ("kind",), "PodMonitors"),
    "an unknown group": ("GRPCRoute", ("apiVersion",), "gateway.networking.k8s.io/v7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(install, mistake):
    """What the strict schemas are there for: each of these would be dropped or refused by a cluster."""
    kind, path, value = MISTAKES[mistake]
    document = install("base with everything").one(kind)
    place = document
    for key in path[:-1]:
        place = place[key]
    assert not problem(document, "1.37")
    place[path[-1]] = value

    assert problem(document, "1.37")
