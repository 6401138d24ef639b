"""What `kubectl kustomize` makes of the overlays, and of every component on its own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("cpu", "gpu", "dev")
MODELS = ("model-init", "model-image")
COMPONENTS = {path.name: path for path in sorted([*(DEPLOY / "components").iterdir(), DEPLOY / "monitoring"])}
OTHERS = [name for name in COMPONENTS if name not in MODELS]
COMPOSED = {
    **{name: (name,) for name in MODELS},
    **{name: ("model-init", name) for name in OTHERS},
    "everything": ("model-init", *OTHERS),
}
"""Base and components in the combinations that are tested beside the overlays."""
INSTALLATIONS = (*(f"overlay {name}" for name in OVERLAYS), *(f"base with {name}" for name in COMPOSED))


@dataclass
class Installation:
    """The objects that one `kubectl apply -k` would send."""

    name: str
    objects: list[Object]

    def all(self, *kinds: str) -> Iterator[Object]:
        """The objects of these kinds."""
        return (one for one in self.objects if one["kind"] in kinds)

    def one(self, kind: str, name: str = "dragoman") -> Object:
        """The object of this kind and name, to which kustomize may have added a hash."""
        pattern = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
        [found] = [one for one in self.all(kind) if pattern.fullmatch(one["metadata"]["name"])]
        return found

    @property
    def pod(self) -> Object:
        """The specification of the server's pods."""
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def server(self) -> Object:
        """The server's container."""
        container: Object
        [container] = [one for one in self.pod["containers"] if one["name"] == "server"]
        return container

    @property
    def containers(self) -> list[Object]:
        """All containers of a pod, those that only run at its start included."""
        return [*self.pod["containers"], *self.pod.get("initContainers", ())]

    @property
    def lasting(self) -> list[Object]:
        """The containers that run as long as the pod."""
        return [one for one in self.containers if one in self.pod["containers"] or one.get("restartPolicy") == "Always"]

    @property
    def environment(self) -> dict[str, str]:
        """What the server's environment is made of."""
        config: dict[str, str] = self.one("ConfigMap")["data"]
        return config


def _kustomize(folder: Path) -> list[Object]:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # deprecations are said there
    return list(yaml.safe_load_all(done.stdout))


@cache
def _objects(name: str) -> list[Object]:
    kind, _, which = name.rpartition(" ")
    if kind == "overlay":
        return _kustomize(DEPLOY / "overlays" / which)
    with TemporaryDirectory() as folder:
        # Kustomize takes no absolute paths.
        folders = [DEPLOY / "base", *(COMPONENTS[component] for component in COMPOSED[which])]
        base, *components = (os.path.relpath(path.resolve(), Path(folder).resolve()) for path in folders)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [base],
            "components": components,
            "images": [{"name": image, "newTag": "test"} for image in ("dragoman", "dragoman-model")],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
        return _kustomize(Path(folder))


@pytest.fixture(scope="session")
def install() -> Callable[[str], Installation]:
    """Renders an installation by its name; every call gives a copy to change at will."""
    return lambda name: Installation(name, deepcopy(_objects(name)))


@pytest.fixture(scope="session")
def installations(install: Callable[[str], Installation]) -> list[Installation]:
    """Every overlay, and the base with every component."""
    return list(map(install, INSTALLATIONS))


@pytest.fixture(params=INSTALLATIONS)
def installation(request: pytest.FixtureRequest, install: Callable[[str], Installation]) -> Installation:
    """Each of `installations`."""
    return install(request.param)
