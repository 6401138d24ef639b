"""ONNX Runtime keeps to itself what it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"
IMPORTED = "from dragoman.bundle.onnx_runtime import onnxruntime; onnxruntime.get_available_providers()"
# The database is made by a thread that nobody joins: a process that ends at once may leave none.
UNTIL_KEPT = "\nimport pathlib, time\nwhile not any(pathlib.Path.home().rglob('*.db')): time.sleep(0.01)"


def environment(home: Path, asked: str | None) -> dict[str, str]:
    """The environment of a process that has `home` to itself, with the variable as `asked`."""
    kept = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "XDG_CACHE_HOME")}
    return kept | {"HOME": str(home)} | ({} if asked is None else {VARIABLE: asked})


@pytest.mark.parametrize("asked", [None, "1"])
def test_nothing_is_kept_for_a_report(asked: str | None, tmp_path: Path) -> None:
    """It leaves no database in the home directory."""
    subprocess.run([sys.executable, "-c", IMPORTED], env=environment(tmp_path, asked), check=True)

    assert not any(tmp_path.rglob("*.db"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the database has another place or none is made")
def test_who_asks_for_reports_has_them(tmp_path: Path) -> None:
    """The variable wins over what dragoman would have: a database comes."""
    subprocess.run(
        [sys.executable, "-c", IMPORTED + UNTIL_KEPT], env=environment(tmp_path, "0"), check=True, timeout=60
    )
