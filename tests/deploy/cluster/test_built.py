"""What the Dockerfile builds, without its base image, and run as the pods run it: no root, /tmp alone to write to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.client import Client

ROOT = Path(__file__).parents[3]
CACHE = ROOT / os.environ.get("CACHE", ".cache")
DOCKERFILE = (ROOT / "deploy/images/cpu.Dockerfile").read_text("utf-8")
# As the pods: another user, a root file system that is read-only. Reading alone is allowed everywhere, because the
# interpreter of this machine may lie in somebody's home.
CONFINED = """
mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp &&
exec setpriv --reuid 10001 --regid 10001 --clear-groups --inh-caps=-all,+dac_read_search \
    --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"
"""


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """The environment that the first stage makes of the files that it copies."""
    folder = CACHE / "image"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "src").mkdir(parents=True)
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for name in line.split()[:-1]:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / "src")
    [command] = re.findall(r"^RUN ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    command = command.replace("/wheels", f"{folder}/wheels").replace("/opt/dragoman", f"{folder}/dragoman")
    arguments = dict(re.findall(r"^ARG (\w+)=(.+)$", DOCKERFILE, re.MULTILINE))
    environment = {**os.environ, **arguments}
    subprocess.run(["sh", "-ec", command], cwd=folder / "src", check=True, capture_output=True, env=environment)
    yield folder / "dragoman"
    shutil.rmtree(folder)


def confined(*command: str) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", CONFINED, "sh", *command]


def test_the_confinement_confines(tmp_path):
    """Writing fails here, as it does in the pods; otherwise the next test would prove nothing."""
    done = subprocess.run(confined("touch", "/written"), capture_output=True, text=True, check=False)

    assert "Read-only file system" in done.stderr


def test_the_image_holds_what_serving_needs_and_no_more(installed):
    """The wheel with its extra: no torch, no tools of development, no source tree on the path."""
    names = {path.name.partition("-")[0] for path in installed.glob("lib/*/site-packages/*.dist-info")}

    assert {"dragoman", "onnxruntime", "grpcio"} <= names
    assert not {"torch", "pytest", "onnx"} & names


def test_it_serves_as_the_pods_serve(installed, install):
    """The options of the manifests, a translation, and exit code 0 at the signal that a pod gets."""
    environment = install("overlay dev").environment | {
        "DRAGOMAN_BUNDLES": str(CACHE / "en-pt"),
        "DRAGOMAN_LISTEN": "127.0.0.1:0",
        "DRAGOMAN_METRICS_LISTEN": "127.0.0.1:0",
        "DRAGOMAN_PROBE_LISTEN": "127.0.0.1:0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = confined(str(installed / "bin/dragoman"), *install("overlay dev").server["args"], "--json")

    with subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True) as process:
        facts = json.loads(process.stdout.readline())
        with Client(facts["listen"]) as client:
            assert client.translate("Hello world!").text == "Olá, mundo!"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
