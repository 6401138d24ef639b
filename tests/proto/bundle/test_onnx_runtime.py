"""ONNX Runtime keeps to itself what it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"


@pytest.mark.parametrize("asked", [None, "1", "0"])
def test_nothing_is_kept_for_a_report(asked: str | None, tmp_path: Path) -> None:
    """It leaves no database in the home directory and no thread that would send it, but where that is asked for."""
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "XDG_CACHE_HOME")}
    environment |= {"HOME": str(tmp_path)} | ({} if asked is None else {VARIABLE: asked})
    code = "from dragoman.bundle.onnx_runtime import onnxruntime; onnxruntime.get_available_providers()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    assert any(tmp_path.rglob("*.db")) is (asked == "0" and sys.platform == "linux")
