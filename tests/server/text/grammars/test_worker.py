"""What may follow in a grammar, by the library alone, without the process around it."""

import base64
import json
import random

import numpy as np
import pytest

from dragoman.server.text.grammars.worker import Worker

EOS = 0
WORDS = [b"", b" a", b"a", b"b", b"(", b")", b" (", b"((", b"))", b" ", b"\xc3", b"\xa9", b"\n", b"{", b"}", b'"', b":"]
FIRST = [text[1:] if text[:1] == b" " else text for text in WORDS]
BLANK = WORDS.index(b" ")
BALANCED = 'start: "(" start* ")" | "a"'


def encoded(texts):
    return [base64.b64encode(text).decode() for text in texts]


@pytest.fixture
def worker():
    made = Worker()
    made.do(
        {
            "do": "vocabulary",
            "name": "v",
            "words": encoded(WORDS),
            "first": encoded(FIRST),
            "blanks": [BLANK],
            "eos_id": EOS,
            "strips": False,
        }
    )
    return made


def read(worker, lark, key="g"):
    text = '%llguidance {"no_forcing": true}\n' + lark
    job = {"do": "grammar", "vocabulary": "v", "key": key, "text": text, "tried": True}
    return worker.do(job).get("problem", "")


def said(worker, *beginnings, left=99, walk=1, key="g"):
    """The words that may follow each beginning, the end as None."""
    job = {"do": "words", "key": key, "walk": walk, "said": [list(each) for each in beginnings], "left": left}
    found = []
    for row in worker.do(job)["rows"]:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(row["words"]), np.uint8), count=len(WORDS))
        found.append({WORDS[index] for index in np.flatnonzero(bits)} | ({None} if row["end"] else set()))
    return found


def ids(*words):
    return tuple(WORDS.index(word) for word in words)


def test_what_may_follow_is_what_the_grammar_says(worker):
    """In bytes, whatever the words are; at the beginning a space before a word is none."""
    assert read(worker, BALANCED) == ""
    [first] = said(worker, ())
    assert first == {b" a", b"a", b"(", b" (", b"((", b" "}
    assert said(worker, ids(b"("), ids(b" a")) == [{b"a", b"(", b")", b"(("}, {None}]
    assert said(worker, ids(b"(", b")"), ids(b"((", b")")) == [{None}, {b"a", b"(", b"((", b")"}]
    assert said(worker, ids(b" ")) == [{b"a", b"(", b"(("}], "no second space, and no space before a word"
    assert said(worker, ids(b" ", b"(")) == [{b"a", b"(", b")", b"(("}]


def test_characters_of_several_bytes_are_said_by_bytes(worker):
    """And not ended in the middle of one."""
    read(worker, 'start: "é"+')
    assert said(worker, ()) == [{b"\xc3", b" "}]
    assert said(worker, ids(b"\xc3"), ids(b"\xc3", b"\xa9")) == [{b"\xa9"}, {b"\xc3", None}]


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_that_is_forgotten_is_walked_again(worker, seed):
    """What may follow does not depend on what was asked before."""
    rng = random.Random(seed)
    read(worker, BALANCED)
    path = ()
    for _ in range(12):
        [words] = said(worker, path)
        [fresh] = said(worker, path, walk=100 + len(path))
        assert words == fresh
        following = sorted(words - {None})
        if not following:
            break
        path = (*path, *ids(rng.choice(following)))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("limit", [4, 7, 20])
def test_whatever_is_said_comes_to_an_end_within_the_limit(worker, seed, limit):
    """By words that are taken at random of those that are allowed, and that fit where the end is near."""
    rng = random.Random(seed)
    read(worker, BALANCED)
    path = ()
    while True:
        job = {"do": "words", "key": "g", "walk": 1, "said": [list(path)], "left": limit - len(path)}
        [row] = worker.do(job)["rows"]
        bits = np.unpackbits(np.frombuffer(base64.b64decode(row["words"]), np.uint8), count=len(WORDS))
        words = np.flatnonzero(bits).tolist()
        if row["near"]:
            tries = [word for word in words if word != row["next"]]
            words = [word for word in (row["next"], *worker.do({**job, "tries": tries})["fits"]) if word >= 0]
        if row["end"] and (not words or rng.random() < 0.1):
            break
        path = (*path, rng.choice(words))
        assert len(path) < limit

    text = b"".join([FIRST[path[0]], *(WORDS[word] for word in path[1:])]).decode()
    depth = np.cumsum([{"(": 1, ")": -1}.get(letter, 0) for letter in text])
    assert depth.min() >= 0
    assert depth[-1] == 0


@pytest.mark.parametrize(
    ("lark", "problem"),
    [("start: foo", "foo"), ('start: "z"', "NOTHING"), ("start: /(a/", "regex"), ('foo: "a"', "start")],
)
def test_what_is_wrong_with_a_grammar_is_said(worker, lark, problem):
    """Whatever it is: nothing is raised."""
    assert problem in read(worker, lark)


def test_json_is_said_by_its_schema(worker):
    """With the words that there are."""
    schema = json.dumps({"type": "object", "properties": {"a": {"const": "b"}}, "required": ["a"]})
    assert read(worker, f"start: %json {schema}") == ""
    assert said(worker, ids(b"{", b'"', b"a", b'"', b":", b'"')) == [{b"b"}]


def test_what_is_not_known_is_missed(worker):
    """So that it is sent again."""
    assert worker.do({"do": "words", "key": "?", "walk": 1, "said": [[]], "left": 9}) == {"missing": "?"}
    job = {"do": "grammar", "vocabulary": "?", "key": "g", "text": "", "tried": True}
    assert worker.do(job) == {"missing": "?"}
