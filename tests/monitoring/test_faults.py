"""The server with faults to order, which only `make test-monitoring` runs, still fits the server."""

import subprocess
import sys
from pathlib import Path


def test_what_the_faults_are_put_into_is_there() -> None:
    """The program replaces parts of the server before it reads its arguments."""
    command = [sys.executable, Path(__file__).with_name("faulty_server.py"), "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
