"""The Dockerfiles: linted, and in step with the manifests and the project."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy" / "images").glob("*.Dockerfile"))
SERVERS = [path for path in DOCKERFILES if path.name != "model.Dockerfile"]


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, "--no-color", dockerfile], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=names(DOCKERFILES))
def test_hadolint_has_nothing_to_say(dockerfile):
    """No rule is switched off."""
    done = hadolint(dockerfile)

    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in dockerfile.read_text("utf-8")


def test_hadolint_bites(tmp_path):
    """An image without a version is found."""
    (tmp_path / "Dockerfile").write_text("FROM python\n", "utf-8")

    assert "DL3006" in hadolint(tmp_path / "Dockerfile").stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=names(DOCKERFILES))
def test_images_run_as_the_user_of_the_pods(dockerfile, install):
    """The last user of an image is a number, which `runAsNonRoot` can check, and the pods' own."""
    context = install("overlay dev").pod["securityContext"]

    users = re.findall(r"^USER (.+)$", dockerfile.read_text("utf-8"), re.MULTILINE)

    assert users[-1] == f"{context['runAsUser']}:{context['runAsGroup']}"


@pytest.mark.parametrize("dockerfile", SERVERS, ids=names(SERVERS))
def test_images_install_an_extra_that_there_is(dockerfile):
    """The wheel, with the extra of the image's name where nobody asks for more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = dockerfile.read_text("utf-8")

    [extra] = re.findall(r"^ARG EXTRAS=(\S+)$", lines, re.MULTILINE)

    assert '"${wheel}[${EXTRAS}]"' in lines
    assert extra == dockerfile.stem
    assert extra in project["optional-dependencies"]


@pytest.mark.parametrize("dockerfile", SERVERS, ids=names(SERVERS))
def test_a_build_sees_what_it_copies_and_little_else(dockerfile):
    """Sources that the wheel is built from; no cache, no bundle, no secret that lies about."""
    text = dockerfile.read_text("utf-8")
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
        if (ROOT / name).exists()
    }
    ignore = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text("utf-8").splitlines()

    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert "*" in ignore
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {package.partition("/")[0] for package in wheel["packages"]} <= copied


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_overlays_name_the_images_of_this_version(overlay, install):
    """A release that forgets the manifests would deploy its predecessor."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    assert install(f"overlay {overlay}").server["image"].endswith(f"/dragoman:{version}-{overlay}")


def test_the_model_image_holds_the_bundle_where_the_copier_looks(install):
    """`model.Dockerfile` and the init container name the same folder."""
    [copier] = [one for one in install("overlay dev").containers if one["name"] == "model"]
    [last] = re.findall(r"^CMD (.+)$", (ROOT / "deploy/images/model.Dockerfile").read_text("utf-8"), re.MULTILINE)

    assert copier["command"] == yaml.safe_load(last)
