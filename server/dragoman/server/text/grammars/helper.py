"""The other end of `worker`: a process that is started when it is needed, and again when it has ended.

Nobody waits here: an answer is a future. A job that the process ends with, because it took too long, is answered with
that; what else was under way is asked again.
"""

import importlib.util
import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from dragoman.server.text.grammars.turns import Turns

WORKER = Path(__file__).with_name("worker.py")
ATTEMPTS = 3
"""How often a job is asked that its process ended with, and one that misses something."""

Message = Mapping[str, Any]


def is_installed() -> bool:
    """Whether there is a library for grammars."""
    return importlib.util.find_spec("llguidance") is not None


def _name_of(needed: Message) -> str:
    """What a job that misses something calls it."""
    return str(needed.get("key") or needed["name"])


class _Job:
    """What is to be done, and what must be known before it."""

    def __init__(self, message: Message, needs: Sequence[Message]) -> None:
        self.message, self.needs = message, needs
        self.attempts = self.number = 0
        self.answer: Future[dict[str, Any]] = Future()


class GrammarHelper:
    """Starts the process and talks to it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._jobs: dict[int, _Job] = {}
        self._last = 0
        self._told: dict[str, int] = {}  # what the process was told of, and how many jobs there had been then
        self._left: deque[int] = deque()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<GrammarHelper {len(self._jobs)} jobs>"

    @property
    def num_waiting(self) -> int:
        """Jobs that are under way."""
        return len(self._jobs)

    def ask(self, message: Message, needs: Sequence[Message] = ()) -> Future[dict[str, Any]]:
        """The answer to a message, before which others must have been read."""
        job = _Job(message, needs)
        with self._lock:
            self._send(job)
        return job.answer

    def leave(self, walk: int) -> None:
        """Nothing will be asked of a walk again; may be called at any point of any thread."""
        self._left.append(walk)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._is_closed = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _send(self, job: _Job, missing: str = "") -> None:
        """Ask for a job, behind what has to be known before it; something may have been forgotten."""
        if self._process is None and not self._is_closed:
            self._process = self._started()
        for needed in job.needs:
            name = _name_of(needed)
            if name not in self._told or (name == missing and self._told[name] <= job.number):
                self._told[name] = self._last + 1
                self._write({"job": 0, **needed})
        self._last += 1
        job.number = self._last
        self._jobs[self._last] = job
        self._write({"job": self._last, **job.message, "forget": self._forgotten()})

    def _forgotten(self) -> list[int]:
        walks = []
        while self._left:
            walks.append(self._left.popleft())
        return walks

    def _write(self, message: Message) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has ended: its reader sees to that
            return

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(  # noqa: S603 - this Python, and a file of ours
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, args=(process,), name="grammars", daemon=True).start()
        self._told = {}
        return process

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            answer = json.loads(line)
            with self._lock:
                job = self._jobs.pop(answer.pop("job"), None)
                if job is None:
                    continue
                if answer.get("missing") and job.attempts < ATTEMPTS:
                    job.attempts += 1
                    self._send(job, answer["missing"])
                    continue
            _answer(job, answer)
        process.wait()
        self._begin_again(process)

    def _begin_again(self, process: "subprocess.Popen[str]") -> None:
        """What was under way when a process ended is asked of the next, or given up."""
        with self._lock:
            if self._process is process:
                self._process = None
                self._told = {}
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            jobs, self._jobs = [job for _, job in sorted(self._jobs.items())], {}
            for job in jobs[:1]:  # the others had not been begun
                job.attempts += 1
            given_up = [job for job in jobs if self._is_closed or job.attempts >= ATTEMPTS]
            for job in jobs:
                if job not in given_up and not job.answer.cancelled():
                    self._send(job)
        for job in given_up:
            _answer(job, {"problem": "GONE"})


def _answer(job: _Job, answer: dict[str, Any]) -> None:
    if job.answer.set_running_or_notify_cancel():  # somebody still waits
        job.answer.set_result(answer)


class GrammarHelpers:
    """Two processes: callers' grammars are tried in one, so that those that passed seldom lose the other."""

    def __init__(self) -> None:
        self.trying, self.saying = GrammarHelper(), GrammarHelper()
        self.turns = Turns()
        """Callers have the first by turns."""

    def __repr__(self) -> str:
        return f"<GrammarHelpers {self.trying}, {self.saying}>"

    def close(self) -> None:
        """End both."""
        self.trying.close()
        self.saying.close()
