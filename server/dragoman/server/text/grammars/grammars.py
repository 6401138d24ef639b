"""Grammars of requests, for one bundle: tried in a process of its own, and then what a search may say."""

import asyncio
import base64
import hashlib
import itertools
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from dragoman.server.core.errors import InvalidRequest, ServingError, Shed, UnsupportedByModel, UnsupportedOption
from dragoman.server.core.phrasing import Allowed
from dragoman.server.core.requests import Grammar
from dragoman.server.text.grammars.helper import GrammarHelper, GrammarHelpers, Message, is_installed
from dragoman.server.text.grammars.word_bytes import WordBytes, word_bytes
from dragoman.server.text.tokenizer import Tokenizer

FIELD = "decoding.grammar"
MOST_BYTES = 32_768
"""A grammar has so many at most."""
LONGEST = 300
"""Letters of what is wrong with a grammar."""
MOST_WAITING, MOST_KNOWN = 256, 256
"""Grammars that are tried, and those of which it is known what came of that."""
MOST_OF_ONE = MOST_WAITING // 4
"""The same of one caller, where callers have names."""
TRIAL_S, READING_S, STEP_S, ROW_S = 0.5, 3.0, 0.5, 0.1
"""Time of a processor that a grammar has: to be tried, to be read again, and for what may follow in one step."""
VOCABULARY_S = 60.0
HEADER = '%llguidance {"no_forcing": true}\n'
"""Words are not forced to be those that a tokenizer would take: the model has the choice."""
WHITE_SPACE = {"whitespace_pattern": r"\n? {0,16}"}
"""Between the parts of JSON, where a schema does not say otherwise: without a bound, models go on with it."""
OUTSIDE = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?![/*])(?:\\.|[^/\\\n])+/|//[^\n]*|\#[^\n]*')
"""Strings, regular expressions and comments of a Lark grammar."""
REFUSED = (
    (re.compile(r"<"), "names tokens of a vocabulary (<...>)"),
    (re.compile(r"%llguidance|%lark"), "has directives of the library"),
    (re.compile(r"^[?!]?\w+\s*\[", re.MULTILINE), "has attributes of rules ([...])"),
    (re.compile(r"@"), "names other grammars (@)"),
)
PROBLEMS = {
    "SLOW": "takes more time than one may: make it smaller, less ambiguous, or its numbers of repeats lower",
    "LARGE": "takes more memory than one may: make it smaller",
    "GONE": "cannot be read: the process that reads it has ended",
    "NOTHING": "allows nothing that the model can write: no text at all, or none that begins with characters it has",
}
NO_BYTES = (
    "the words of this model become a text by rules that look at their neighbours, which no grammar follows: "
    "check what it says behind it"
)

Tried = Callable[[Callable[[], Any]], Awaitable[Any]]


class Grammars:
    """Makes phrasings of requests' grammars."""

    def __init__(self, tokenizer: Tokenizer, size: int, helpers: GrammarHelpers) -> None:
        """`size` is the number of the target vocabulary's words."""
        self._tokenizer, self._size, self._helpers = tokenizer, size, helpers
        self._name = hashlib.sha256(repr((id(self), size)).encode()).hexdigest()
        self._vocabulary: dict[str, Any] | None = None
        self._known: OrderedDict[str, GrammarPhrasing | ServingError] = OrderedDict()
        self._trials: dict[str, asyncio.Task[GrammarPhrasing | ServingError]] = {}
        self._under_trial = Counter[str]()
        """How many of each caller's."""
        self._preparing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Grammars {len(self._known)} known>"

    def knows(self, grammar: Grammar) -> bool:
        """Whether it was tried."""
        return _key(self._name, grammar) in self._known

    async def phrasing(
        self,
        grammar: Grammar,
        in_slices: Callable[[Generator[None, None, Any]], Awaitable[Any]],
        run: Tried,
        caller: str = "",
    ) -> "GrammarPhrasing":
        """What a grammar's texts are. Raises what is wrong with it. `in_slices` and `run` do work on other threads.
        Grammars are tried one at a time, and callers take turns.
        """
        key = _key(self._name, grammar)
        trial = self._trials.get(key)
        if key not in self._known and trial is None:
            vocabulary = await self._prepared(in_slices)
            if len(self._trials) >= MOST_WAITING:
                raise Shed("grammars", f"{MOST_WAITING} grammars wait to be read")
            if caller and self._under_trial[caller] >= MOST_OF_ONE:
                raise Shed("grammars", f"{MOST_OF_ONE} grammars of {caller} wait to be read")
            trial = self._trials.get(key)
        if key not in self._known and trial is None:
            trial = self._trials[key] = asyncio.create_task(self._try(key, grammar, vocabulary, run, caller))
            self._under_trial[caller] += 1
            trial.add_done_callback(lambda _: self._tried(key, caller))
        # It goes on where who asked first goes away.
        found = self._known[key] if trial is None else await asyncio.shield(trial)
        if isinstance(found, ServingError):
            raise found.with_traceback(None)
        return found

    def _tried(self, key: str, caller: str) -> None:
        del self._trials[key]
        self._under_trial[caller] -= 1
        if not self._under_trial[caller]:
            del self._under_trial[caller]

    async def _try(
        self, key: str, grammar: Grammar, vocabulary: Message, run: Tried, caller: str
    ) -> "GrammarPhrasing | ServingError":
        """What comes of a grammar, which is remembered."""
        reading = {"do": "grammar", "key": key, "vocabulary": self._name, "text": source(grammar)}
        trial = {**reading, "tried": True, "seconds": TRIAL_S}
        async with self._helpers.turns.of(caller):
            future: Future[dict[str, Any]] = await run(lambda: self._helpers.trying.ask(trial, [vocabulary]))
            problem = (await asyncio.wrap_future(future)).get("problem")
        needs = [vocabulary, {**reading, "tried": False, "seconds": READING_S}]
        phrasing = GrammarPhrasing(self._helpers.saying, key, needs, self._size, self._tokenizer.eos_id)
        self._known[key] = InvalidRequest(FIELD, said(grammar, problem)) if problem else phrasing
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return self._known[key]

    async def _prepared(self, in_slices: Callable[[Generator[None, None, Any]], Awaitable[Any]]) -> Message:
        """What the processes must know of the vocabulary."""
        async with self._preparing:
            if self._vocabulary is None:
                made: WordBytes | None = await in_slices(word_bytes(self._tokenizer, self._size))
                self._vocabulary = {} if made is None else _message(self._name, made, self._tokenizer.eos_id)
        if not self._vocabulary:
            raise UnsupportedByModel(FIELD, NO_BYTES)
        return self._vocabulary


def check(grammar: Grammar) -> None:
    """Refuse what can be seen at once, without a library."""
    given = [(name, text) for name, text in vars(grammar).items() if text is not None]
    if len(given) != 1:
        raise InvalidRequest(FIELD, f"{len(given)} kinds of grammar: set json_schema, regex or lark")
    [(name, text)] = given
    size = len(text.encode("utf-8", "surrogatepass"))
    if not text.strip():
        raise InvalidRequest(f"{FIELD}.{name}", "empty")
    if size > MOST_BYTES:
        raise InvalidRequest(f"{FIELD}.{name}", f"{size} bytes, the limit is {MOST_BYTES}")
    if not is_installed():
        raise UnsupportedOption(FIELD, "this server has no library for grammars (pip install 'dragoman[grammar]')")
    if grammar.lark is not None:
        bare = OUTSIDE.sub('""', grammar.lark)
        problem = next((what for pattern, what in REFUSED if pattern.search(bare)), None)
        if problem is not None:
            raise InvalidRequest(f"{FIELD}.lark", f"{problem}, which is not for requests")
    source(grammar)


def source(grammar: Grammar) -> str:
    """A grammar as the library reads it. Raises InvalidRequest where a JSON schema is no JSON."""
    if grammar.lark is not None:
        return HEADER + grammar.lark
    if grammar.regex is not None:
        return f"{HEADER}start: /{_escaped(grammar.regex)}/"
    try:
        schema = json.loads(grammar.json_schema or "")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{FIELD}.json_schema", f"no JSON: {error}") from None
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{FIELD}.json_schema", "no JSON schema: an object, or true")
    own = schema.get("x-guidance")
    if own is None or isinstance(own, dict):
        schema = {**schema, "x-guidance": {**WHITE_SPACE, **(own or {})}}
    return f"{HEADER}start: %json {json.dumps(schema)}"


def said(grammar: Grammar, problem: str) -> str:
    """What is wrong with a grammar, to its sender."""
    if problem in PROBLEMS:
        return PROBLEMS[problem]
    lines = [line for line in problem.splitlines() if line.strip()] or ["cannot be read"]
    first = " ".join([lines[0], *(line for line in lines[1:] if line.startswith("error:"))])
    first = first if len(first) <= LONGEST else f"{first[:LONGEST]} ..."
    # A line was put before it.
    first = re.sub(r"^(?:at )?(\d+)\((\d+)\)", lambda at: f"line {int(at[1]) - 1}, column {at[2]}", first)
    return first if grammar.lark is not None else re.sub(r"^line 1, column \d+: ", "", first)


class GrammarPhrasing:
    """The texts of a grammar."""

    _walks = itertools.count(1)

    def __init__(self, helper: GrammarHelper, key: str, needs: Sequence[Message], size: int, eos_id: int) -> None:
        self.helper, self.key, self.needs, self.size, self.eos_id = helper, key, needs, size, eos_id

    def __repr__(self) -> str:
        return f"<GrammarPhrasing {self.key[:8]}>"

    def walk(self) -> "GrammarWalk":
        """A way from the beginning."""
        return GrammarWalk(self, next(self._walks))


class GrammarWalk:
    """What may follow the beginnings of one search."""

    def __init__(self, phrasing: GrammarPhrasing, number: int) -> None:
        self._phrasing, self._number = phrasing, number
        self._asked: tuple[list[tuple[int, ...]], Future[dict[str, Any]]] | None = None
        self._left = 1
        self._rows: dict[tuple[int, ...], tuple[Allowed, int]] = {}

    def __repr__(self) -> str:
        return f"<GrammarWalk {self._number} of {self._phrasing}>"

    def __del__(self) -> None:
        self._phrasing.helper.leave(self._number)

    def expect(self, beginnings: Sequence[Sequence[int]], left: int) -> None:
        """These beginnings will be asked for next."""
        said = [tuple(map(int, beginning)) for beginning in beginnings]
        self._rows, self._left = {}, left
        seconds = STEP_S + ROW_S * len(said)
        self._asked = said, self._ask({"said": said, "left": left, "seconds": seconds})

    def allowed(self, said: Sequence[int]) -> Allowed:
        """What may follow; no words where nothing does."""
        return self._row(said)[0]

    def fitting(self, said: Sequence[int], words: Sequence[int]) -> set[int]:
        """Those of the allowed words behind which there is an end within the limit, as far as that is known."""
        _, following = self._row(said)
        tries = [int(word) for word in words if word not in (self._phrasing.eos_id, following)]
        if not tries:
            return {following, self._phrasing.eos_id}
        seconds = STEP_S + ROW_S * len(tries)
        message = {"said": [tuple(map(int, said))], "left": self._left, "tries": tries, "seconds": seconds}
        answer = self._ask(message).result()
        return {*answer.get("fits", ()), following, self._phrasing.eos_id}

    def _row(self, said: Sequence[int]) -> tuple[Allowed, int]:
        key = tuple(map(int, said))
        if key not in self._rows:
            if self._asked is None or key not in self._asked[0]:
                self.expect([key], self._left)
            assert self._asked is not None, "it was asked just now"
            beginnings, future = self._asked
            rows = future.result().get("rows") or [None] * len(beginnings)
            self._rows = {each: self._read(row) for each, row in zip(beginnings, rows, strict=True)}
        return self._rows[key]

    def _read(self, row: dict[str, Any] | None) -> tuple[Allowed, int]:
        """What a row says; nothing may follow where the grammar turned out to be too much."""
        size = self._phrasing.size
        if row is None:
            return Allowed(np.zeros(0, np.int64), size), -1
        mask = np.unpackbits(np.frombuffer(base64.b64decode(row["words"]), np.uint8), count=size).view(np.bool_)
        mask[self._phrasing.eos_id] = row["end"]
        words = np.flatnonzero(mask)
        return Allowed(words, size - len(words), row["near"]), int(row["next"])

    def _ask(self, message: Mapping[str, Any]) -> Future[dict[str, Any]]:
        phrasing = self._phrasing
        asked = {"do": "words", "key": phrasing.key, "walk": self._number, **message}
        return phrasing.helper.ask(asked, phrasing.needs)


def _key(name: str, grammar: Grammar) -> str:
    return hashlib.sha256(repr((name, grammar)).encode("utf-8", "surrogatepass")).hexdigest()


def _message(name: str, made: WordBytes, eos_id: int) -> dict[str, Any]:
    words, first = ([base64.b64encode(text).decode() for text in texts] for texts in (made.words, made.first))
    sent = {"words": words, "first": first, "blanks": made.blanks, "eos_id": eos_id, "strips": made.strips}
    return {"do": "vocabulary", "name": name, "seconds": VOCABULARY_S, **sent}


def _escaped(regex: str) -> str:
    """A regular expression between two slashes."""
    text = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", regex, flags=re.DOTALL)
    return text.replace("\n", r"\n").replace("\r", r"\r")
