"""ONNX Runtime keeps to itself what it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"
# In ONNX Runtime's place: what it would find in its environment, which it reads once, when it is imported. Whether it
# then does report depends on the machine: it makes no database where it may not, or before a process has ended.
SAYS_WHAT_IT_FINDS = f"""
import ctypes
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(getenv(b"{VARIABLE}").decode())
"""


@pytest.mark.parametrize(("asked", "found"), [(None, "1"), ("1", "1"), ("0", "0")])
def test_nothing_is_reported_unless_somebody_asks(asked: str | None, found: str, tmp_path: Path) -> None:
    """ONNX Runtime finds its reports turned off when it is imported, unless the environment says otherwise."""
    (tmp_path / "onnxruntime.py").write_text(SAYS_WHAT_IT_FINDS)
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment = kept | {"PYTHONPATH": str(tmp_path)} | ({} if asked is None else {VARIABLE: asked})

    ran = subprocess.run(
        [sys.executable, "-c", "import dragoman.bundle.onnx_runtime"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )

    assert ran.stdout.strip() == found
