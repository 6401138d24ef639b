"""The process that reads grammars: what it answers, and what becomes of others when one makes it end."""

import base64

import pytest

from dragoman.server.text.grammars.helper import GrammarHelper

WORDS = [b"", b"a", b"b"]
TEXTS = [base64.b64encode(text).decode() for text in WORDS]
VOCABULARY = {"do": "vocabulary", "name": "v", "words": TEXTS, "first": TEXTS, "blanks": [], "eos_id": 0}
VOCABULARY |= {"strips": False, "seconds": 60.0}
HEADER = '%llguidance {"no_forcing": true}\n'
ENDLESS = 'start: %json {"type": "integer", "multipleOf": 999983}'


def grammar(key, text, seconds=30.0, *, tried=False):
    return {"do": "grammar", "key": key, "vocabulary": "v", "text": HEADER + text, "tried": tried, "seconds": seconds}


def words(key, said, walk=1):
    return {"do": "words", "key": key, "walk": walk, "said": [said], "left": 99, "seconds": 30.0}


@pytest.fixture
def helper():
    made = GrammarHelper()
    yield made
    made.close()


def test_what_a_job_needs_is_sent_before_it(helper):
    """By itself, when it is found to be missing."""
    needs = [VOCABULARY, grammar("g", 'start: "a" "b"')]

    answer = helper.ask(words("g", [1]), needs).result(60)

    assert [row["words"] for row in answer["rows"]] == [base64.b64encode(bytes([0b00100000])).decode()]
    assert helper.num_waiting == 0


def test_a_grammar_that_takes_too_long_is_ended_and_others_go_on(helper):
    """With the process, which is started again; what was asked behind it is answered."""
    needs = [VOCABULARY, grammar("g", 'start: "a" "b"')]
    helper.ask(words("g", []), needs).result(60)

    endless = helper.ask(grammar("slow", ENDLESS, 0.1), [VOCABULARY])
    behind = [helper.ask(words("g", [1], walk), needs) for walk in range(5)]

    assert endless.result(60) == {"problem": "SLOW"}
    assert all(len(each.result(60)["rows"]) == 1 for each in behind)


def test_a_stack_of_rules_ends_nothing(helper):
    """However deep they lie in one another, in as many bytes as a grammar may have."""
    chain = "start: r0\n" + "\n".join(f"r{n}:r{n + 1}" for n in range(2400)) + '\nr2400: "a"'

    assert helper.ask(grammar("deep", chain), [VOCABULARY]).result(60) == {}


def test_who_closes_it_waits_for_nothing(helper):
    """What was under way is given up."""
    waiting = helper.ask(grammar("slow", ENDLESS), [VOCABULARY])

    helper.close()

    assert waiting.result(60) == {"problem": "GONE"}


def test_what_is_cancelled_is_answered_to_nobody(helper):
    """And does not disturb what comes behind."""
    needs = [VOCABULARY, grammar("g", 'start: "a" "b"')]
    assert helper.ask(words("g", []), needs).cancel()

    assert len(helper.ask(words("g", []), needs).result(60)["rows"]) == 1


def test_who_waits_behind_grammars_that_end_the_process_is_not_blamed(helper):
    """However many there are."""
    needs = [VOCABULARY, grammar("g", 'start: "a" "b"')]
    slow = [helper.ask(grammar(f"slow{n}", ENDLESS, 0.1), [VOCABULARY]) for n in range(3)]
    behind = helper.ask(words("g", [1]), needs)

    assert all(each.result(120) == {"problem": "SLOW"} for each in slow)
    assert len(behind.result(120)["rows"]) == 1
