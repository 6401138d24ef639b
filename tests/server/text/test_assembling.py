"""Decoded segments become one text again, and say where its words came from."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import OffsetUnit, Output, Splitting
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Segment
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import Timings, Translation
from dragoman.server.pipeline.workers import finished
from dragoman.server.testing import FakeTicket, echo
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.forms import Attempt
from dragoman.server.text.preparing import Find, PreparedText, prepare, unprotected
from dragoman.server.text.tokenizer import Tokenizer

ALL = Output(token_scores=True, alignments=True, sentence_spans=True)
NASTY = [
    "👩\u200d👧 box.",
    "e\u0301 ﬃ ½.",
    "日本。",
    "The dog.",
    "  \n\t",
    "\n\n",
    "Zürich?",
    "\u200b",
    "①②!",
    "\u00a0",
]


def prepared(
    text: str, tokenizer: Tokenizer, splitting: Splitting = Splitting.SENTENCES, find: Find = unprotected
) -> PreparedText:
    made = finished(
        prepare(
            text,
            field="text",
            tokenizer=tokenizer,
            splitting=splitting,
            pair=LanguagePair("en", "pt"),
            max_tokens=32,
            split_long=True,
            find=find,
        )
    )
    assert isinstance(made, PreparedText)
    return made


def echoed(
    text: str, tokenizer: Tokenizer, output: Output, number: int = 1, splitting: Splitting = Splitting.SENTENCES
) -> Translation:
    """A text that is translated into itself."""
    one = prepared(text, tokenizer, splitting)
    template = Segment((), Decoding(beam_size=number, num_hypotheses=number), attention=True)
    decoded = [echo(FakeTicket(replace(template, ids=ids), lambda answer: None, 0.0)) for ids in one.decoded_ids]
    return Assembler(tokenizer, output, copies_unknown=False).translation(one, decoded, 0.0)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["The", "dog.", "日", "!", " ", "  ", "\n", "\r\n", "\t", "\x0b", "\u2028", "\u00a0"])),
    st.booleans(),
)
def test_a_text_of_one_segment_keeps_its_lines(tokenizer: Tokenizer, parts: list[str], alignments: bool) -> None:
    """Each run of white space that has a line end or a tab comes back whole, in order."""
    text = "".join(parts)

    one = echoed(text, tokenizer, replace(ALL, alignments=alignments), splitting=Splitting.NONE)

    assert runs(one.text) == runs(text)
    for pair in one.sentence_spans:
        assert one.text[slice(*pair.target)].split() == text[slice(*pair.source)].split()


@pytest.mark.parametrize("alignments", [False, True])
def test_lines_of_a_text_of_which_the_model_says_nothing(tokenizer: Tokenizer, alignments: bool) -> None:
    """What is kept stands in the translation, where the result says."""
    text = "The dog\n{a} box"
    span = ProtectedSpan(Span(8, 11), SpanKind.PLACEHOLDER)
    one = prepared(text, tokenizer, Splitting.NONE, find=lambda _: [span])
    shown = replace(one.shown[0], attempt=Attempt.ANYWHERE)
    nothing = Hypothesis((), -1.0, -1.0, FinishReason.STOP, (-1.0,), np.ones((1, len(one.ids[0])), np.float32))
    output = Output(kept_spans=True, alignments=alignments)

    made = Assembler(tokenizer, output, copies_unknown=False).translation(
        replace(one, shown={0: shown}), [Decoded((nothing,), Engine.GREEDY, 1)], 0.0
    )

    assert made.text == "{a}\n"
    assert [made.text[slice(*kept.target)] for kept in made.kept if kept.target] == ["{a}"]


def runs(text: str) -> list[str]:
    return [run for run in re.findall(r"\s+", text) if re.search("[\t\n\r\v\u2028]", run)]


def cut(text: str, span: Span, unit: OffsetUnit) -> str:
    codec, size = {
        OffsetUnit.CODE_POINT: ("utf-32-le", 4),
        OffsetUnit.UTF8_BYTE: ("utf-8", 1),
        OffsetUnit.UTF16: ("utf-16-le", 2),
    }[unit]
    return text.encode(codec)[span.start * size : span.end * size].decode(codec)


@pytest.mark.parametrize("unit", OffsetUnit)
@pytest.mark.parametrize("seed", range(40))
def test_links_of_a_nasty_text_join_what_belongs_together(tokenizer: Tokenizer, unit: OffsetUnit, seed: int) -> None:
    """Over segments and the gaps between them: where a text is translated into itself, a word goes to its own like."""
    chosen = random.Random(seed)
    text = " ".join(chosen.choices(NASTY, k=6))
    output = replace(ALL, offset_unit=unit)

    one = echoed(text, tokenizer, output)

    strong = [link for link in one.hypotheses[0].alignments if link.weight >= 0.5]
    for link in strong:
        source, target = cut(text, link.source, unit), cut(one.text, link.target, unit)
        assert normal(target, tokenizer) in normal(source, tokenizer)  # a fraction becomes several words
        assert target == target.strip() != ""
    assert len({link.target for link in strong}) == len(strong)
    for pair in one.sentence_spans:
        assert normal(cut(one.text, pair.target, unit), tokenizer) == normal(cut(text, pair.source, unit), tokenizer)
    shown = "".join(cut(one.text, link.target, unit) for link in strong)
    assert shown == "".join(shown_of(one.text))


def normal(text: str, tokenizer: Tokenizer) -> str:
    """A text as the vocabulary has it."""
    return tokenizer.decode(tokenizer.encode(text)[:-1]).strip()


def shown_of(text: str) -> list[str]:
    """The text without white space and marks that nobody sees."""
    return "".join(text.split()).replace("\u200b", "").split()


def test_sentences_are_paired_with_what_they_became(tokenizer: Tokenizer) -> None:
    """In source order; what is kept as it stands is paired with itself."""
    text = " The dog.\n\n\u200b\nÓ!"

    spans = echoed(text, tokenizer, ALL).sentence_spans

    assert [(text[slice(*one.source)], one.target) for one in spans] == [
        ("The dog.", Span(1, 9)),
        ("\u200b", Span(11, 12)),
        ("Ó!", Span(13, 15)),
    ]


def test_an_empty_text_has_nothing_to_tell(tokenizer: Tokenizer) -> None:
    """No tokens, no links, no sentences, and its own reason."""
    one = echoed(" ", tokenizer, ALL)

    assert (one.finish_reason, one.hypotheses[0].finish_reason) == (FinishReason.EMPTY_INPUT, FinishReason.EMPTY_INPUT)
    assert (one.hypotheses[0].tokens, one.hypotheses[0].alignments, one.sentence_spans) == ((), (), ())


def test_the_stages_of_a_text_are_those_of_its_last_segment(tokenizer: Tokenizer) -> None:
    """So they add up to no more than the text took; the longest of each stage would add up to 0.011 here, not 0.008."""
    text = prepared("The dog. The fox. The box.", tokenizer)
    assert len(text.decoded_ids) == 3
    hypothesis = Hypothesis((5,), -1.0, -1.0, FinishReason.STOP)
    times = [(0.001, 0.002, 0.003), (0.002, 0.001, 0.005), (0.004, 0.001, 0.001)]
    segments = [Decoded((hypothesis,), Engine.GREEDY, 2, *each) for each in times]

    timings = Assembler(tokenizer, Output(), copies_unknown=False).translation(text, segments, 0.5).timings

    assert (timings.tokenize_s, timings.queue_s, timings.encode_s, timings.decode_s) == (0.5, 0.002, 0.001, 0.005)


def test_of_texts_that_began_together_the_last_is_the_one_that_took_longest() -> None:
    """Nothing at all took no time."""
    texts = [Timings(queue_s=3), Timings(queue_s=1, decode_s=4), Timings(encode_s=2)]

    assert Timings.last(texts) == texts[1]
    assert Timings.last([]) == Timings()


def test_token_scores_are_those_of_all_segments(tokenizer: Tokenizer) -> None:
    """As the vocabulary writes them, each segment's end token among them; they add up to the hypothesis."""
    one = echoed("The\nfox", tokenizer, ALL, number=2)

    first, second = one.hypotheses
    assert [token.token for token in first.tokens].count("</s>") == 2
    assert first.tokens[-1].token == "</s>"
    assert sum(token.log_probability for token in first.tokens) == first.log_probability
    assert sum(token.log_probability for token in second.tokens) == second.log_probability < first.log_probability


def test_nothing_comes_that_was_not_asked_for(tokenizer: Tokenizer) -> None:
    """Tokens, links and sentences cost bytes on the wire."""
    one = echoed("The dog.", tokenizer, Output())

    assert (one.hypotheses[0].tokens, one.hypotheses[0].alignments, one.sentence_spans) == ((), (), ())


def hypothesis(tokenizer: Tokenizer, tokens: Sequence[str], rows: Any, **fields: Any) -> Hypothesis:
    ids = tuple(tokenizer.unk_id if token == "?" else tokenizer.token_id(token) or 0 for token in tokens)
    assert 0 not in ids, "a token that the vocabulary has"
    logps = (-1.0,) * (len(ids) + 1)
    fields = {"reason": FinishReason.STOP, "token_logps": logps, **fields}
    return Hypothesis(ids, -float(len(logps)), -1.0, attention=np.array(rows, np.float32), **fields)


def copied(tokenizer: Tokenizer, source: str, tokens: Sequence[str], words: Sequence[int]) -> Translation:
    """A text of one segment with unknown tokens ("?"), each token attending to the source word of that number."""
    text = prepared(source, tokenizer)
    [ids] = text.decoded_ids
    spans = tokenizer.source_spans(source)
    rows = np.zeros((len(tokens) + 1, len(ids)))
    rows[:, -1] = 0.5  # more than any word gets: the end of the source is no word
    starts = [source.index(word) for word in source.split()]
    for place, word in enumerate(words):
        rows[place, next(n for n, span in enumerate(spans) if span.end > starts[word])] = 0.4
    one = Decoded((hypothesis(tokenizer, tokens, rows),), Engine.GREEDY, 1, 0.0, 0.0, 0.0)
    return Assembler(tokenizer, Output(alignments=True), copies_unknown=True).translation(text, [one], 0.0)


@pytest.mark.parametrize(
    ("tokens", "words", "text"),
    [
        (["?"], [1], "Kyōto"),
        (["▁", "?"], [0, 1], "Kyōto"),
        (["▁do", "g", "?", "."], [0, 0, 1, 2], "dog Kyōto."),
        (["▁do", "g", "?", "▁do"], [0, 0, 1, 0], "dog Kyōto do"),
        (["?", "?", "?"], [1, 1, 0], "Kyōto The"),
        (["?", "▁do", "?"], [1, 0, 1], "Kyōto do Kyōto"),
    ],
)
def test_an_unknown_word_is_the_source_word_that_it_attends_to(
    tokenizer: Tokenizer, tokens: list[str], words: list[int], text: str
) -> None:
    """Set apart from what stands before it, without the punctuation beside it, and once where it comes in parts."""
    one = copied(tokenizer, "The Kyōto, e\u0301!", tokens, words)

    assert one.text == text
    for link in one.hypotheses[0].alignments:
        target = one.text[slice(*link.target)]
        assert target.strip() == target != ""


def test_unknown_words_of_a_model_that_may_put_them_out_are_shown_as_such(tokenizer: Tokenizer) -> None:
    """Without copying nothing is made up."""
    text = prepared("a b", tokenizer)
    one = Decoded((hypothesis(tokenizer, ["?"], [[1.0]] * 2),), Engine.GREEDY, 1, 0.0, 0.0, 0.0)

    assert "⁇" in Assembler(tokenizer, Output(), copies_unknown=False).translation(text, [one], 0.0).text


def test_a_hypothesis_tells_its_own_reason(tokenizer: Tokenizer) -> None:
    """A second one may be cut where the first is not; its last token is then no end."""
    text = prepared("a", tokenizer)
    whole = hypothesis(tokenizer, ["▁do"], [[1.0, 0.0]] * 2)
    short = hypothesis(tokenizer, ["▁do"], [[1.0, 0.0]], reason=FinishReason.LENGTH, token_logps=(-1.0,))
    one = Decoded((whole, short), Engine.BEAM, 1, 0.0, 0.0, 0.0)

    made = Assembler(tokenizer, ALL, copies_unknown=False).translation(text, [one], 0.0)

    assert made.finish_reason is FinishReason.STOP
    assert [one.finish_reason for one in made.hypotheses] == [FinishReason.STOP, FinishReason.LENGTH]
    assert [[token.token for token in one.tokens] for one in made.hypotheses] == [["▁do", "</s>"], ["▁do"]]


def decoded_as(tokenizer: Tokenizer, *translations: str, reason: FinishReason = FinishReason.STOP) -> list[Decoded]:
    """Segments that came back as these texts, each with a second hypothesis."""
    made = []
    for text in translations:
        ids = tokenizer.encode_target(text)
        best = Hypothesis(ids, -1.0, -0.5, reason)
        made.append(Decoded((best, Hypothesis(ids[::-1], -2.0, -0.9, FinishReason.STOP)), Engine.BEAM, 3))
    return made


def test_what_a_reader_should_look_at_has_places_in_the_text(tokenizer):
    """Of the best hypothesis alone, in the unit that was asked for, in the order of the text."""
    text = prepared("é box.\nThe dog ran 1999 miles.", tokenizer)
    output = Output(offset_unit=OffsetUnit.UTF8_BYTE)
    decoded = decoded_as(tokenizer, "é box box box box box box.", "The dog ran.")

    made = Assembler(tokenizer, output, copies_unknown=False).translation(text, decoded, 0.0)

    kinds = [(warning.kind.value, warning.source, warning.target) for warning in made.warnings]
    places = text.text.encode(), made.text.encode()
    assert [kind for kind, *_ in kinds] == ["repetition", "number_changed"]
    assert [places[0][slice(*source)].decode() for _, source, _ in kinds] == ["é box.", "1999"]
    assert kinds[1][2] is None


def test_a_loop_is_why_a_text_ended(tokenizer):
    """The worst reason of its segments, and a warning."""
    text = prepared("The dog.\nThe box.", tokenizer)
    decoded = decoded_as(tokenizer, "O cachorro.") + decoded_as(tokenizer, "A caixa.", reason=FinishReason.REPETITION)

    made = Assembler(tokenizer, Output(), copies_unknown=False).translation(text, decoded, 0.0)

    assert (made.finish_reason, made.hypotheses[1].finish_reason) == (FinishReason.REPETITION, FinishReason.STOP)
    assert [warning.kind.value for warning in made.warnings] == ["repetition"]
    assert made.target_tokens == sum(len(one.hypotheses[0].ids) for one in decoded) + 1


def test_what_is_no_translation_is_not_looked_at(tokenizer):
    """Nothing is warned of, and where a model says nothing the answer is empty, not the text."""
    text = prepared("The dog of 1999.\nThe box.", tokenizer)
    decoded = decoded_as(tokenizer, "O cachorro de 1899.") + decoded_as(tokenizer, "")

    made = Assembler(tokenizer, Output(), copies_unknown=False, is_reviewed=False).translation(text, decoded, 0.0)

    assert (made.text, made.warnings) == ("O cachorro de 1899.\n", ())


@pytest.mark.parametrize(("mends", "number"), [(True, "1999"), (False, "1899")])
def test_numbers_are_mended_where_that_is_wanted(tokenizer, mends, number):
    """In every hypothesis."""
    text = prepared("The dog of 1999.", tokenizer)
    decoded = decoded_as(tokenizer, "O cachorro de 1899.")

    made = Assembler(tokenizer, Output(), copies_unknown=False, mends_numbers=mends).translation(text, decoded, 0.0)

    assert number in made.text
    assert [warning.kind.value for warning in made.warnings] == ([] if mends else ["number_changed"])
