"""`dragoman bench`: what it sends, what it says, and how it ends."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import grpc
import pytest

from dragoman.cli.main import main
from dragoman.client.bench import command as command_bench
from dragoman.client.bench import load
from dragoman.client.bench.command import MIN_CALLS
from dragoman.client.bench.figures import Figures, figures
from dragoman.client.bench.load import Call

QUICK = ("--rate", "200", "--duration", "0.1", "--warmup", "0", "--arrivals", "constant")


@pytest.fixture
def bench(fake, monkeypatch: pytest.MonkeyPatch):
    """The command against the fake server."""
    monkeypatch.setenv("DRAGOMAN_SERVER", fake.address)
    return lambda *arguments: main(["bench", *arguments])


@pytest.fixture
def modelled(monkeypatch: pytest.MonkeyPatch):
    """Loads are not sent: half a millisecond at rest, longer the nearer the load is to 100 a second."""
    asked: list[tuple[float, float]] = []

    async def measure(args, sender, messages, rate: float, duration_s: float) -> Figures:
        asked.append((rate, duration_s))
        latency_s = 0.0005 / (1 - rate / 100) if rate < 100 else math.inf
        outcome = "OK" if rate < 100 else "DEADLINE_EXCEEDED"
        calls = [Call(index / rate, index / rate, index / rate + min(latency_s, 9), outcome) for index in range(100)]
        return figures(calls, 0, duration_s)

    monkeypatch.setattr(command_bench, "_measure", measure)
    return asked


def test_a_load_is_reported_in_tables(bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Rates, outcomes, and latencies of the calls; nothing else on either output."""
    assert bench(*QUICK) == 0

    out, err = capsys.readouterr()
    assert "offered 200.0 a second" in out
    assert out.split("OK")[1].split()[:2] == ["20", "100.00%"]
    # A machine that is busy with something else adds a warning.
    table = out[out.index("milliseconds") :].splitlines()[:3]
    assert [line.split()[0] for line in table] == ["milliseconds", "latency", "left"]
    assert err == ""


def test_json_says_all_that_was_asked_and_measured(bench, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, which strict readers accept."""
    assert bench(*QUICK, "--json", "--seed", "7") == 0

    facts = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (facts["calls"], facts["outcomes"], facts["offered_per_s"]) == (20, {"OK": 20}, 200)
    assert (facts["rate"], facts["arrivals"], facts["seed"]) == (200, "constant", 7)
    assert facts["latency_ms"]["p50"] <= facts["latency_ms"]["p99"] <= facts["latency_ms"]["max"]


def test_texts_and_options_are_sent_as_asked(bench, fake, tmp_path: Path) -> None:
    """Lines of the file, blank ones left out, each equally often; languages, model and beam in every call."""
    (tmp_path / "texts").write_text("one\n\n two\nthree \n", "utf-8")
    what = ("--from", "en", "--to", "pt", "--model", "m", "--beam-size", "3", "--file", str(tmp_path / "texts"))

    assert bench("--rate", "300", "--duration", "0.1", "--warmup", "0", "--arrivals", "constant", *what) == 0

    texts = [request.texts[0].text for request in fake.requests]
    assert {text: texts.count(text) for text in texts} == {"one": 10, " two": 10, "three ": 10}
    for request in fake.requests:
        assert (request.source_language, request.target_language, request.model) == ("en", "pt", "m")
        assert request.decoding.beam_size == 3


def test_warm_up_is_sent_and_not_counted(bench, fake, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of these calls warm up."""
    assert bench(*QUICK, "--warmup", "0.1", "--json") == 0

    facts = json.loads(capsys.readouterr().out)
    assert (facts["calls"], facts["warmup_calls"], len(fake.requests)) == (20, 20, 40)


def test_a_load_that_only_fails_is_told_by_the_exit_code(bench, fake, capsys: pytest.CaptureFixture[str]) -> None:
    """The outcomes say how; there is no latency to speak of."""
    fake.reply = lambda request, context: context.abort(grpc.StatusCode.NOT_FOUND, "no model")

    assert bench(*QUICK) == 1

    out = capsys.readouterr().out
    assert "NOT_FOUND" in out
    assert "latency" not in out


def test_a_machine_that_sends_too_slowly_is_told(capsys: pytest.CaptureFixture[str], bench, monkeypatch) -> None:
    """Figures about the generator must not pass for figures about the server."""

    async def measure(*_: object) -> Figures:
        return figures([Call(i, i + 0.5, i + 0.6, "OK") for i in range(100)], 0, 100)

    monkeypatch.setattr(command_bench, "_measure", measure)

    assert bench() == 0
    assert "this machine sends too slowly: one call in a hundred left 500.0 ms late" in capsys.readouterr().out


def test_the_limit_is_found_and_drawn(bench, modelled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """p99 is 5 ms at 90 a second, where the search ends; the picture has every load that was tried."""
    plot = tmp_path / "latency.svg"

    assert bench("--find-limit", "--target-p99", "5", "--plot", str(plot)) == 0

    out = capsys.readouterr().out.splitlines()
    held = float(out[-1].split()[1])
    assert 90 / 1.05 <= held <= 90
    assert out[-1] == f"holds {held:,.4g} calls a second with p99 under 5 ms"
    assert len(out) - 1 == len(modelled)
    picture = ET.fromstring(plot.read_text("utf-8"))
    assert sum(1 for _ in picture.iter("{http://www.w3.org/2000/svg}circle")) == 3 * len(modelled)


def test_a_limit_in_json_has_every_load_that_was_tried(bench, modelled, capsys: pytest.CaptureFixture[str]) -> None:
    """Where calls failed p99 is null, as JSON has no infinity."""
    assert bench("--find-limit", "--target-p99", "5", "--json") == 0

    facts = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [trial["rate_per_s"] for trial in facts["trials"]] == [rate for rate, _ in modelled]
    assert [trial["held"] for trial in facts["trials"]] == [rate <= 90 for rate, _ in modelled]
    assert {trial["p99_with_failures_ms"] for trial in facts["trials"] if trial["rate_per_s"] > 100} == {None}
    assert facts["limit_per_s"] == max(rate for rate, _ in modelled if rate <= 90)


def test_a_server_that_holds_no_load_is_told_by_the_exit_code(bench, modelled, capsys) -> None:
    """p99 is never below half a millisecond."""
    assert bench("--find-limit", "--target-p99", "0.1") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "no load was held with p99 under 0.1 ms"


def test_slow_loads_last_until_p99_means_something(bench, modelled) -> None:
    """At one call a second ten seconds would be ten calls."""
    bench("--find-limit", "--rate", "1", "--target-p99", "5")

    assert modelled[0] == (1, MIN_CALLS)
    assert all(rate * duration_s >= MIN_CALLS for rate, duration_s in modelled)


WRONG = {
    "--target-p99 is for --find-limit": ("--target-p99", "100"),
    "--plot is for --find-limit": ("--plot", "x.svg"),
    "ends in .svg": ("--find-limit", "--plot", "x.png"),
    "there is no such folder": ("--find-limit", "--plot", "no/such/x.svg"),
    "--timeout ends calls before": ("--find-limit", "--timeout", "0.1"),
    "no line has a text": ("--file", "/dev/null"),
}


@pytest.mark.parametrize("message", WRONG)
def test_arguments_that_do_not_go_together_are_refused(bench, fake, message, capsys, tmp_path, monkeypatch) -> None:
    """Before anything is sent, with the way out."""
    monkeypatch.chdir(tmp_path)

    assert bench(*WRONG[message]) == 2

    assert message in capsys.readouterr().err
    assert fake.requests == []


@pytest.mark.parametrize(
    "arguments", [("--rate", "0"), ("--arrivals", "random"), ("--connections", "0"), ("--warmup", "-1")]
)
def test_values_out_of_range_are_refused(bench, arguments: tuple[str, str]) -> None:
    """As argparse refuses them."""
    with pytest.raises(SystemExit) as error:
        bench(*arguments)
    assert error.value.code == 2


@pytest.mark.parametrize(("content", "message"), [(b"\xff", "not UTF-8"), (None, "No such file")])
def test_a_file_that_cannot_be_read_is_said_so(bench, tmp_path: Path, content, message, capsys) -> None:
    """With its name."""
    path = tmp_path / "texts"
    if content is not None:
        path.write_bytes(content)

    assert bench("--file", str(path)) in (1, 2)

    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err


def test_no_server_is_one_line(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a table of failures."""
    monkeypatch.setattr(load, "CONNECT_S", 0.2)

    assert main(["bench", "--server", "127.0.0.1:1"]) == 1

    assert capsys.readouterr().err.startswith("dragoman bench: 127.0.0.1:1 does not answer: ")


def test_progress_is_shown_on_a_terminal_and_wiped(bench, monkeypatch) -> None:
    """What has been sent, answered and lost so far."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(command_bench, "WATCH_S", 0.01)

    assert bench(*QUICK) == 0

    lines = terminal.getvalue().split("\r")
    assert any(" of 20 sent, " in line for line in lines)
    assert lines[-2].strip() == lines[-1] == ""


def test_ctrl_c_ends_a_load_quietly(fake) -> None:
    """In the middle of it, with the exit code of every interrupted command and without a traceback."""
    command = [sys.executable, "-c", "import sys; from dragoman.cli.main import main; sys.exit(main())"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "DRAGOMAN_SERVER": fake.address}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "bench", "--duration", "60"], env=environment, stdout=pipe, stderr=pipe
    ) as process:
        assert fake.arrived.acquire(timeout=20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (130, b"", b"")
