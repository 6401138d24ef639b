"""Signals, pipes that nobody reads, disks that are full, and command lines that contradict themselves."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from callers import SENTENCES, Calls, call, one_by_one, request, sentences
from serving import COMMAND, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
LEAST_PIPE = 4096


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_log_that_nobody_reads(log_format, fault):
    """The server answers on, stays live, and ends by SIGTERM with 0."""
    row = fault(f"a log pipe that nobody reads, {log_format}")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, LEAST_PIPE)
    try:
        with serving(SMALL, options=["--log-level", "debug", "--log-format", log_format], stderr=writer) as server:
            async with server.channel() as channel:
                stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()
                message = pb.GetModelRequest(name="none-such")
                for _ in range(300):
                    await call(calls, lambda: stub.GetModel(message, timeout=5))
                    if "DEADLINE_EXCEEDED" in calls.codes:
                        break
                after = await one_by_one(channel, 1.0, deadline_s=5.0)
            live, _ = await asyncio.to_thread(server.get, "/livez")
            server.process.send_signal(signal.SIGTERM)
            start_s = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(server.process.wait, 15)
            seconds = time.monotonic() - start_s
            row.happens = f"{calls}; then {after}; /livez {live}; {seconds:.1f} s after SIGTERM {server.fate()}"
            row.lost = f"{after.codes.total() - after.codes['OK']} calls"
            assert calls.codes.keys() == {"NOT_FOUND"}
            assert after.codes.keys() == {"OK"}
            assert live == 200
            assert server.process.poll() == 0
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_log_whose_reader_has_gone(fault):
    """A pipe that is closed at its other end, EPIPE, costs log lines and nothing else."""
    row = fault("a log pipe whose reader has gone")
    reader, writer = os.pipe()
    with serving(SMALL, options=["--log-level", "debug"], stderr=writer) as server:
        os.close(reader)
        os.close(writer)
        async with server.channel() as channel:
            calls = await one_by_one(channel, 2.0, deadline_s=5.0)
        server.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(server.process.wait, 15)
        row.happens = f"{calls}; after SIGTERM {server.fate()}"
        assert calls.codes.keys() == {"OK"}
        assert server.process.poll() == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("output", ["/dev/full", "a closed pipe"])
async def test_standard_output_that_takes_nothing(output, fault):
    """The announcement is lost and the server serves, or the start is refused in a line; there is no traceback."""
    row = fault(f"standard output is {output}")
    listen = f"127.0.0.1:{free_port()}"
    if output == "/dev/full":
        stdout = os.open(output, os.O_WRONLY)
    else:
        reader, stdout = os.pipe()
        os.close(reader)
    command = [*COMMAND, "serve", str(SMALL), "--listen", listen, "--metrics-listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    os.close(stdout)
    try:
        calls = Calls()
        async with grpc.aio.insecure_channel(listen) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            while process.poll() is None and not calls.codes["OK"]:
                await call(calls, lambda: stub.Translate(request("House"), timeout=1))
                await asyncio.sleep(0.2)
        served = calls.codes["OK"] > 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        _, log = await asyncio.to_thread(process.communicate, None, 20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    lines = log.strip().splitlines()
    row.happens = f"{'served, ' if served else ''}ended with {process.returncode}: {len(lines)} lines, {lines[-1:]}"
    assert "Traceback" not in log
    assert process.returncode == 0 if served else process.returncode == 1


async def test_a_process_that_is_stopped_and_goes_on(fault):
    """SIGSTOP for five seconds with calls in flight: all are answered after SIGCONT, and it is live."""
    row = fault("SIGSTOP for 5 s, SIGCONT")
    with serving(SMALL, options=["--stall-seconds", "3"]) as server:
        async with server.channel() as channel:
            stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()
            await one_by_one(channel, 0.5)
            texts = sentences(200)
            tasks = [
                asyncio.create_task(call(calls, lambda t=t: stub.Translate(request(t), timeout=60))) for t in texts
            ]
            await asyncio.sleep(0.2)
            server.process.send_signal(signal.SIGSTOP)
            start_s = time.monotonic()
            stopped, _ = await asyncio.to_thread(server.get, "/livez", 1.0)
            seen_s = time.monotonic() - start_s
            await asyncio.sleep(5.0)
            server.process.send_signal(signal.SIGCONT)
            await asyncio.gather(*tasks)
            await asyncio.sleep(1.0)
            live, _ = await asyncio.to_thread(server.get, "/livez")
            after = await one_by_one(channel, 1.0)
        row.happens = (
            f"/livez {stopped or 'silent'} meanwhile, {live} afterwards; {calls}; then {after}; {server.fate()}"
        )
        row.seen, row.lost = f"{seen_s:.0f} s (probe)", f"{calls.codes.total() - calls.codes['OK']} calls"
        assert calls.codes == {"OK": len(texts)}, calls.messages
        assert live == 200
        assert after.codes.keys() == {"OK"}


async def test_a_stop_signal_under_load(fault):
    """SIGTERM with 400 calls in flight: those are answered, later ones refused as UNAVAILABLE, and it ends with 0."""
    row = fault("SIGTERM with 400 calls in flight")
    with serving(SMALL) as server:
        async with server.channel() as channel:
            stub, calls, late = pb_grpc.TranslationServiceStub(channel), Calls(), Calls()
            began = (await one_by_one(channel, 0.5)).codes.total()
            texts = sentences(400)
            tasks = [
                asyncio.create_task(call(calls, lambda t=t: stub.Translate(request(t), timeout=60))) for t in texts
            ]
            while await asyncio.to_thread(server.total, "dragoman_requests_started_total") < began + len(texts):
                await asyncio.sleep(0.05)
            server.process.send_signal(signal.SIGTERM)
            start_s = time.monotonic()
            while (await asyncio.to_thread(server.get, "/healthz"))[0] == 200:
                await asyncio.sleep(0.05)
            await call(late, lambda: stub.Translate(request(SENTENCES[0]), timeout=10))
            await asyncio.gather(*tasks)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(server.process.wait, 40)
        row.happens = f"{calls}; a late one {late}; {server.fate()} {time.monotonic() - start_s:.1f} s later"
        row.lost = f"{calls.codes.total() - calls.codes['OK']} calls"
        assert calls.codes == {"OK": len(texts)}, calls.messages
        assert late.codes == {"UNAVAILABLE": 1}
        assert server.process.poll() == 0


async def test_draws_in_passes_are_refused(fault):
    """A command line that asks for draws and for passes without autoregression is refused, and both are named."""
    row = fault("dragoman translate --sampling --passes 2")
    with serving(SMALL) as server:
        command = [*COMMAND, "translate", "--server", server.address, "--from", "en", "--to", "pt"]
        command += ["--sampling", "--passes", "2", "House"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    row.happens = f"ended with {done.returncode}: {(done.stdout + done.stderr).strip()[:120]}"
    assert done.returncode != 0
    assert "nat" in done.stderr
    assert "sampling" in done.stderr
