"""A process of its own that reads callers' grammars and says which words may follow.

Some few letters of a grammar can take minutes, or a stack of any depth, and no limit of the library holds all of that:
so it runs where it may be killed. It needs nothing but the library, and is run by its path. Each line that it reads is
a JSON object with a job's number, each line that it writes is that job's answer. It ends with its parent, and where a
job takes more than it may.
"""

import base64
import json
import os
import queue
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

STACK_BYTES = 256 << 20
"""For rules within rules within rules; what is not used takes no memory."""
LIMITS: dict[str, Any] = {
    "max_items_in_row": 500,
    "initial_lexer_fuel": 200_000,
    "step_lexer_fuel": 50_000,
    "step_max_items": 10_000,
    "max_lexer_states": 5_000,
    "max_grammar_size": 20_000,
    "verbose_errors": False,
}
MOST_VOCABULARIES, MOST_GRAMMARS, MOST_WALKS = 8, 64, 1024
MOST_BYTES = 512 << 20
"""Memory beyond that of the vocabularies."""
LOOK_S = 0.02
TRIALS, TRIAL_STEPS, TRIAL_STEP_S = 3, 24, 0.01
"""A grammar is tried: so many texts of so many tokens, which take so long each on average, at most."""
CLOSERS, FILLERS = (b'"', b")", b"]", b"}", b">", b"'"), (b".", b"0", b"a", b" ")
"""What is likely to bring a text to its end, in this order, and what may do where only something has to be said."""
COMPLETION_TRIES = 48
FAR, NEAR = 64, 12
"""Tokens before the limit at which a completion is looked for, and that are left over from it where words are tried."""

Ids = tuple[int, ...]


class ByteVocabulary:
    """The words of a model: what each adds to a text, and what it is at the beginning of one.

    To the library a word at the beginning is another one.
    """

    def __init__(self, words: list[bytes], first: list[bytes], blanks: list[int], eos_id: int, *, strips: bool) -> None:
        self.size, self.eos_id, self.strips = len(words), eos_id, strips
        self.words, self.blanks = words, blanks
        named = [text or b"\xff[%d]" % number for number, text in enumerate([*words, *first])]
        self.tokenizer = LLTokenizer(TokenizerWrapper(_ByteTokens(named, eos_id)), slices=[])
        self.is_spaced = np.array([text[:1].isspace() for text in words])
        self.ends_spaced = np.array([text[-1:].isspace() for text in words])
        self.lengths = np.array([len(text) for text in words])
        self.ids: dict[bytes, int] = {}
        for index, text in enumerate(words):
            self.ids.setdefault(text, index)
        self.longest = int(self.lengths.max())
        self.closers, self.fillers = (
            [self.ids[text] for text in few if text in self.ids] for few in (CLOSERS, FILLERS)
        )


class _ByteTokens:
    """What the library wants to know of a vocabulary."""

    bos_token_id = None
    special_token_ids: tuple[int, ...] = ()

    def __init__(self, tokens: list[bytes], eos_id: int) -> None:
        self.tokens, self.eos_token_id = tokens, eos_id

    def __call__(self, text: bytes) -> list[int]:  # noqa: ARG002
        """No text is ever turned to ids here: words are not forced."""
        return []


class Place:
    """Where a text is in a grammar."""

    def __init__(
        self, vocabulary: ByteVocabulary, matcher: LLMatcher, *, is_first: bool, is_behind_blank: bool
    ) -> None:
        self.vocabulary, self.matcher = vocabulary, matcher
        self.is_first, self.is_behind_blank = is_first, is_behind_blank
        self.ends_spaced = False
        self._mask: Any = None

    def may_end(self) -> bool:
        """Whether the text may end here."""
        is_sound = not self.matcher.is_error() and self.matcher.is_accepting()
        return is_sound and not (self.ends_spaced and self.vocabulary.strips)

    def mask(self) -> Any:
        """Which words may follow, the end left out."""
        if self._mask is None:
            self._mask = self._computed()
        return self._mask

    def _computed(self) -> Any:
        words = self.vocabulary
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        if self.matcher.is_error():
            return np.zeros(words.size, np.bool_)
        both = np.unpackbits(bits, bitorder="little")[: 2 * words.size].astype(np.bool_)
        mask = both[words.size :].copy() if self.is_first and not self.is_behind_blank else both[: words.size].copy()
        mask[words.eos_id] = False
        if self.is_behind_blank:
            mask &= ~words.is_spaced
        elif self.is_first:
            mask[words.blanks] = True
        return mask

    def after(self, word: int) -> "Place":
        """Where a word that may follow leads to."""
        words = self.vocabulary
        if self.is_first and not self.is_behind_blank and word in words.blanks:
            return Place(words, self.matcher, is_first=True, is_behind_blank=True)
        matcher = self.matcher.deep_copy()
        matcher.consume_token(word + (words.size if self.is_first and not self.is_behind_blank else 0))
        place = Place(words, matcher, is_first=False, is_behind_blank=False)
        place.ends_spaced = bool(words.ends_spaced[word])
        return place

    def completion(self, most: int, tries: list[int]) -> list[int] | None:
        """Few words that bring the text to its end, as far as they are found; `tries` are left for looking."""
        if self.may_end():
            return []
        tries[0] -= 1
        if most <= 0 or tries[0] <= 0:
            return None
        for word in self._likely():
            rest = self.after(word).completion(most - 1, tries)
            if rest is not None:
                return [word, *rest]
        return None

    def _likely(self) -> Iterator[int]:
        """Words that may follow, those first that are likely to bring the text to its end soon."""
        words = self.vocabulary
        forced = b"" if self.is_first else self.matcher.compute_ff_bytes()
        for length in range(min(len(forced), words.longest), 0, -1):
            word = words.ids.get(forced[:length])
            if word is not None and self._allows(word):
                yield word
                return
        yield from filter(self._allows, words.closers)
        mask = self.mask()  # which takes longer than to try a few
        if mask.any():
            yield int((words.lengths * mask).argmax())
        yield from filter(self._allows, words.fillers)

    def _allows(self, word: int) -> bool:
        """Whether a word may follow."""
        if self.is_first or self._mask is not None:
            return bool(self.mask()[word])
        return bool(self.matcher.validate_tokens([word]) == 1)


class Rows:
    """What came of the newest beginnings of a walk."""

    def __init__(self) -> None:
        self.places: dict[Ids, Place] = {}
        self.completions: dict[Ids, list[int] | None] = {}


class Worker:
    """Does jobs, one after another."""

    def __init__(self) -> None:
        self._vocabularies: OrderedDict[str, ByteVocabulary] = OrderedDict()
        self._grammars: OrderedDict[str, Place] = OrderedDict()
        self._walks: OrderedDict[int, tuple[str, Rows]] = OrderedDict()

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """One job's answer."""
        for walk in job.get("forget", ()):
            self._walks.pop(walk, None)
        match job["do"]:
            case "vocabulary":
                return self._take(job)
            case "grammar":
                return self._read(job)
            case "words":
                return self._say(job)
        raise ValueError(job["do"])

    def _take(self, job: dict[str, Any]) -> dict[str, Any]:
        words, first = ([base64.b64decode(text) for text in job[name]] for name in ("words", "first"))
        self._vocabularies[job["name"]] = ByteVocabulary(
            words, first, job["blanks"], job["eos_id"], strips=job["strips"]
        )
        while len(self._vocabularies) > MOST_VOCABULARIES:
            self._vocabularies.popitem(last=False)
        global baseline_bytes
        baseline_bytes = used_bytes()
        return {}

    def _read(self, job: dict[str, Any]) -> dict[str, Any]:
        vocabulary = self._vocabularies.get(job["vocabulary"])
        if vocabulary is None:
            return {"missing": job["vocabulary"]}
        matcher = LLMatcher(vocabulary.tokenizer, job["text"], log_level=0, limits=LLParserLimits(**LIMITS))
        if matcher.is_error():
            return {"problem": matcher.get_error()}
        root = Place(vocabulary, matcher, is_first=True, is_behind_blank=False)
        if job["tried"]:
            problem = tried(root)
            if problem:
                return {"problem": problem}
        self._grammars[job["key"]] = root
        while len(self._grammars) > MOST_GRAMMARS:
            self._grammars.popitem(last=False)
        return {}

    def _say(self, job: dict[str, Any]) -> dict[str, Any]:
        root = self._grammars.get(job["key"])
        if root is None:
            return {"missing": job["key"]}
        self._grammars.move_to_end(job["key"])
        _, before = self._walks.pop(job["walk"], ("", Rows()))
        if job.get("tries") is not None:
            self._walks[job["walk"]] = job["key"], before
            said = tuple(job["said"][0])
            place = before.places.get(said) or reached(root, said)
            most = job["left"] - 2  # of what follows the word that is tried, less its end
            return {
                "fits": [w for w in job["tries"] if place.after(w).completion(most, [COMPLETION_TRIES]) is not None]
            }
        rows, answers = Rows(), []
        for beginning in map(tuple, job["said"]):
            parent = before.places.get(beginning[:-1]) if beginning else None
            place = parent.after(beginning[-1]) if parent is not None else reached(root, beginning)
            rows.places[beginning] = place
            answers.append(self._answer(place, beginning, job["left"], before, rows))
        self._walks[job["walk"]] = job["key"], rows
        while len(self._walks) > MOST_WALKS:
            self._walks.popitem(last=False)
        return {"rows": answers}

    def _answer(self, place: Place, said: Ids, left: int, before: Rows, rows: Rows) -> dict[str, Any]:
        """What may follow a beginning. Near the limit that is what still leads to an end within it."""
        may_end, mask, is_near = place.may_end(), place.mask(), False
        if left <= 1 and may_end:
            mask = np.zeros_like(mask)
        elif left <= FAR:
            known = before.completions.get(said[:-1]) if said else None
            completion = (
                known[1:] if known and known[0] == said[-1] else place.completion(left - 1, [4 * COMPLETION_TRIES])
            )
            rows.completions[said] = completion
            if completion is not None:
                over = left - 1 - len(completion)
                if completion and over <= 0:
                    mask = np.zeros_like(mask)
                    mask[completion[0]] = True
                is_near = 0 < over <= NEAR
        packed = base64.b64encode(np.packbits(mask).tobytes()).decode()
        return {"words": packed, "end": may_end, "near": is_near, "next": (rows.completions.get(said) or [-1])[0]}


def reached(root: Place, said: Ids) -> Place:
    """Where a beginning leads to."""
    place = root
    for word in said:
        place = place.after(word)
    return place


def tried(root: Place) -> str:
    """What is wrong with a grammar that can be read: it has no text, or takes too long."""
    if not root.may_end() and not root.mask().any():
        return "NOTHING"
    start, steps = time.thread_time(), 0
    for trial in range(TRIALS):
        rng, place = np.random.default_rng(trial), root
        for _ in range(TRIAL_STEPS):
            words = place.mask().nonzero()[0]
            steps += 1
            if not len(words):
                break
            place = place.after(int(rng.choice(words)))
    return "SLOW" if time.thread_time() - start > steps * TRIAL_STEP_S else ""


def used_bytes() -> int:
    """Memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def answers_of(worker: Worker, job: dict[str, Any]) -> dict[str, Any]:
    """A job's answer, whatever becomes of it."""
    try:
        return worker.do(job)
    except Exception as error:  # noqa: BLE001 - the library raises what it likes
        return {"problem": repr(error)}


class Watched:
    """The one thread that works, and how long its job has had the processor."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._current: tuple[int, float, float] | None = None  # job, what the thread had had, what it may have more
        self._writing = threading.Lock()
        threading.stack_size(STACK_BYTES)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        threading.stack_size(0)
        threading.Thread(target=self._watch, daemon=True).start()

    def put(self, job: dict[str, Any]) -> None:
        """Something to be done."""
        self._jobs.put(job)

    def _work(self) -> None:
        worker = Worker()
        while True:
            job = self._jobs.get()
            self._current = job["job"], time.thread_time(), job["seconds"]
            answer = answers_of(worker, job)
            self._current = None
            self._write({"job": job["job"], **answer})

    def _watch(self) -> None:
        clock = time.pthread_getcpuclockid(self._thread.ident)  # type: ignore[arg-type]
        while True:
            time.sleep(LOOK_S)
            current = self._current
            if current is None:
                continue
            number, before, most = current
            is_late = time.clock_gettime(clock) - before > most
            if (is_late or used_bytes() - baseline_bytes > MOST_BYTES) and self._current is current:
                self._write({"job": number, "problem": "SLOW" if is_late else "LARGE"})
                os._exit(1)

    def _write(self, answer: dict[str, Any]) -> None:
        with self._writing:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Read jobs until there are none."""
    watched = Watched()
    for line in sys.stdin:
        watched.put(json.loads(line))


baseline_bytes = used_bytes()

if __name__ == "__main__":
    main()
