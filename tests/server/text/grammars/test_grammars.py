"""Grammars of requests: what is refused, how they are read, and what a search is told."""

import asyncio

import pytest

from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import InvalidRequest, Shed, UnsupportedByModel, UnsupportedOption
from dragoman.server.core.requests import Grammar
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.grammars import grammars as module
from dragoman.server.text.grammars.grammars import MOST_BYTES, Grammars, check, said, source
from dragoman.server.text.grammars.helper import GrammarHelpers
from dragoman.server.text.tokenizer import Tokenizer


@pytest.fixture
def helpers():
    made = GrammarHelpers()
    yield made
    made.close()


@pytest.fixture
def grammars(bundle: Bundle, tokenizer: Tokenizer, helpers: GrammarHelpers) -> Grammars:
    return Grammars(tokenizer, bundle.manifest.architecture.target_vocabulary, helpers)


async def phrasing(grammars: Grammars, grammar: Grammar, caller: str = ""):
    async def in_slices(work):
        return finished(work)

    async def run(work):
        return work()

    return await grammars.phrasing(grammar, in_slices, run, caller)


@pytest.mark.parametrize(
    ("grammar", "field"),
    [
        (Grammar(), "decoding.grammar"),
        (Grammar(regex="a", lark="b"), "decoding.grammar"),
        (Grammar(regex=" "), "decoding.grammar.regex"),
        (Grammar(regex="a" * (MOST_BYTES + 1)), "decoding.grammar.regex"),
        (Grammar(lark="é" * (MOST_BYTES // 2 + 1)), "decoding.grammar.lark"),
        (Grammar(json_schema="{"), "decoding.grammar.json_schema"),
        (Grammar(json_schema="[" * 5000), "decoding.grammar.json_schema"),
        (Grammar(json_schema="false"), "decoding.grammar.json_schema"),
        (Grammar(json_schema="[]"), "decoding.grammar.json_schema"),
        (Grammar(lark="start: <[5]>"), "decoding.grammar.lark"),
        (Grammar(lark='start: "a" <|end|>'), "decoding.grammar.lark"),
        (Grammar(lark='%llguidance {"no_forcing": false}\nstart: "a"'), "decoding.grammar.lark"),
        (Grammar(lark="start[max_tokens=2]: /a*/"), "decoding.grammar.lark"),
        (Grammar(lark='start: b\nb [temperature=2] : "a"'), "decoding.grammar.lark"),
        (Grammar(lark="start: @other"), "decoding.grammar.lark"),
    ],
)
def test_what_is_wrong_at_once_is_refused_by_its_field(grammar: Grammar, field: str) -> None:
    """Before a process is asked."""
    with pytest.raises(InvalidRequest) as caught:
        check(grammar)

    assert caught.value.violations[0].field == field


def test_signs_within_strings_are_no_names() -> None:
    """Nor are those in regular expressions and comments, or an optional part."""
    check(Grammar(lark='start: "<[5]>" /<a@b\\/>[x]/ [b] // <no>\nb: "\\"@" "%llguidance" # @'))


def test_without_the_library_it_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what would have to be installed."""
    monkeypatch.setattr(module, "is_installed", lambda: False)
    with pytest.raises(UnsupportedOption, match=r"decoding\.grammar.*dragoman\[grammar\]"):
        check(Grammar(regex="a"))


def test_grammars_are_written_for_the_library() -> None:
    """A regular expression between slashes, a schema with its white space bounded unless it says otherwise."""
    assert source(Grammar(regex=r"a/b\/c\\/")).endswith("start: /" + r"a\/b\/c\\\/" + "/")
    assert '"x-guidance": {"whitespace_pattern": " "}' in source(
        Grammar(json_schema='{"x-guidance": {"whitespace_pattern": " "}}')
    )
    assert "whitespace_pattern" in source(Grammar(json_schema="true"))


def test_lines_are_those_of_the_sender() -> None:
    """Another line stood before them."""
    assert said(Grammar(lark="start: foo"), 'at 2(8): unknown name: "foo"\n more') == (
        'line 1, column 8: unknown name: "foo"'
    )


@pytest.mark.asyncio
async def test_what_may_follow_is_told_by_words(grammars: Grammars, tokenizer: Tokenizer) -> None:
    """Of a text of the grammar every word in turn, and the end behind its last."""
    text = "the fox jumps over the lazy dog"
    walk = (await phrasing(grammars, Grammar(regex="the fox .* dog"))).walk()
    ids = tokenizer.encode_target(text)

    walk.expect([ids[:number] for number in range(len(ids) + 1)], 99)

    for number, index in enumerate(ids):
        assert index in walk.allowed(ids[:number]).words
    assert tokenizer.eos_id in walk.allowed(ids).words
    assert tokenizer.eos_id not in walk.allowed(ids[:-1]).words
    assert len(walk.allowed(ids[:1]).words) < 10 < 200 < len(walk.allowed(ids[:-3]).words)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (Grammar(lark="start: foo"), "unknown name"),
        (Grammar(regex="("), "unclosed group"),
        (Grammar(json_schema='{"type": "foo"}'), "foo"),
        (Grammar(json_schema='{"$ref": "file:///etc/passwd"}'), "retriever"),
        (Grammar(json_schema='{"type": "integer", "multipleOf": 999983}'), "more time"),
        (Grammar(lark="start: s\ns: " + " | ".join("s " * (n % 7 + 1) for n in range(300)) + ' | "a" |'), "more time"),
        (Grammar(regex="[^\\s\\S]a"), "nothing that the model can write"),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_read_is_refused_and_remembered(
    grammars: Grammars, grammar: Grammar, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little it says, and however long it would take."""
    monkeypatch.setattr(module, "TRIAL_S", 0.2)
    for _ in range(2):
        with pytest.raises(InvalidRequest, match=message) as caught:
            await phrasing(grammars, grammar)
        assert grammars.knows(grammar)
    assert caught.value.violations[0].field == "decoding.grammar"
    assert "backtrace" not in str(caught.value)


@pytest.mark.asyncio
async def test_too_many_that_wait_are_shed(grammars: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    """To be sent again."""
    monkeypatch.setattr(module, "MOST_WAITING", 4)
    many = [phrasing(grammars, Grammar(regex=f"a{{1,{n + 1}}}")) for n in range(12)]

    outcomes = await asyncio.gather(*many, return_exceptions=True)

    assert sum(isinstance(outcome, Shed) for outcome in outcomes) == 8


@pytest.mark.asyncio
async def test_a_caller_that_sends_many_is_shed_and_another_is_not(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers take turns at being tried, so that one of them holds nobody up for longer than a trial."""
    monkeypatch.setattr(module, "MOST_OF_ONE", 3)
    ended: list[str] = []

    async def ask(caller: str, number: int) -> None:
        await phrasing(grammars, Grammar(regex=f"{caller}{{1,{number + 1}}}"), caller)
        ended.append(caller)

    many = [ask("a", n) for n in range(12)]
    outcomes = await asyncio.gather(*many, ask("b", 0), return_exceptions=True)

    assert sum(isinstance(outcome, Shed) for outcome in outcomes) == 9
    assert outcomes[-1] is None
    assert ended == ["a", "b", "a", "a"]


@pytest.mark.asyncio
async def test_the_same_grammar_is_tried_once(grammars: Grammars, helpers: GrammarHelpers) -> None:
    """Also where the first that asks goes away."""
    asked = []
    ask = helpers.trying.ask
    helpers.trying.ask = lambda *what: asked.append(what) or ask(*what)  # type: ignore[func-returns-value, method-assign]
    tasks = [asyncio.create_task(phrasing(grammars, Grammar(regex="a+"))) for _ in range(9)]
    while not asked:
        await asyncio.sleep(0)
    tasks[0].cancel()

    made = await asyncio.gather(*tasks[1:])

    assert len(asked) == len(set(made)) == 1


@pytest.mark.asyncio
async def test_a_model_whose_words_have_no_bytes_has_no_grammars(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said why."""

    def none(*_):
        return
        yield

    monkeypatch.setattr(module, "word_bytes", none)
    with pytest.raises(UnsupportedByModel, match="look at their neighbours"):
        await phrasing(grammars, Grammar(regex="a"))
