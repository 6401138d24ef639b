"""The four source roots make one namespace package."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("proto", "server", "export", "client")


def test_every_root_is_in_the_wheel_in_the_tests_and_in_development():
    """The places of pyproject.toml that name the roots name all of them."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]

    assert tools["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"{root}/dragoman" for root in ROOTS]
    assert tools["hatch"]["build"]["dev-mode-dirs"] == list(ROOTS)
    assert tools["pytest"]["ini_options"]["pythonpath"] == [*ROOTS, "tests/support"]
    assert tools["ruff"]["src"] == list(ROOTS)


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_adds_packages_to_the_namespace_and_does_not_close_it(root):
    """No root has an `__init__.py` of the namespace itself, which would hide the others; every package is typed."""
    namespace = ROOT / root / "dragoman"

    assert not (namespace / "__init__.py").exists()
    packages = [path for path in namespace.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert packages
    for package in packages:
        assert (package / "py.typed").is_file(), package
