"""What a manifest must be beyond its types."""

import json

import pytest

from dragoman.bundle.errors import BundleCorrupt
from dragoman.bundle.manifest import Approximation, Architecture, Recurrent, Window
from dragoman.bundle.reader import open_bundle
from dragoman.bundle.rules import shape_problems


def problems_of(directory) -> tuple[str, ...]:
    with pytest.raises(BundleCorrupt) as error:
        open_bundle(directory)
    return error.value.problems


@pytest.fixture
def edit(directory):
    """Change the manifest of the bundle behind its back."""

    def apply(change) -> None:
        path = directory / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return apply


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("graphs", "step", "file"), "gone.onnx", "graphs.step: the file 'gone.onnx' is not listed in files"),
        (("tokenizer", "target"), "gone.spm", "tokenizer.target: the file 'gone.spm' is not listed in files"),
        (("shortlist",), "gone.bin", "shortlist: the file 'gone.bin' is not listed in files"),
        (("architecture", "heads"), 3, "architecture.heads: 3 does not divide d_model 8"),
        (("architecture", "heads"), 0, "architecture.heads: 0 is less than 1"),
        (("architecture", "encoder_heads"), 3, "architecture.encoder_heads: 3 does not divide d_model 8"),
        (("architecture", "encoder_heads"), 0, "architecture.encoder_heads: 0 is less than 1"),
        (("architecture", "encoder_ffn"), 0, "architecture.encoder_ffn: 0 is less than 1"),
        (("architecture", "head_width"), -1, "architecture.head_width: -1 is less than 1"),
        (("architecture", "encoder_width"), 0, "architecture.encoder_width: 0 is less than 1"),
        (("architecture", "encoder_width"), 16, "architecture.encoder_width: 16, and the words of width 8 are shared"),
        (("name",), "", "name: 0 bytes; it is to have 1 to 128"),
        (("name",), "m" * 129, "name: 129 bytes; it is to have 1 to 128"),
        (("architecture", "position_offset"), -1, "architecture.position_offset: -1 is negative"),
        (
            ("architecture", "positions"),
            "relative",
            "architecture.relative_distance: 0 is not more than half of relative_buckets, which is 0 and must be at "
            "least 4",
        ),
        (
            ("architecture", "embedding_norm_first"),
            True,
            "architecture.embedding_norm_first: true, of a norm that embedding_norm says there is not",
        ),
        (
            ("architecture", "relative_by_layer"),
            True,
            "architecture.relative_by_layer: true, of biases that positions sinusoidal do not have",
        ),
        (
            ("architecture", "decoder"),
            "gru",
            "architecture.recurrent: needed by the decoders lstm, gru and tanh, and by no other; this one is gru",
        ),
        (
            ("architecture", "copies"),
            True,
            "tokenizer.start_id: 10, which in a model that copies stands for a source position",
        ),
        (("decoding", "forced_last_id"), -1, "decoding.forced_last_id: -1 is outside the target vocabulary of 10"),
        (("tokenizer", "eos_id"), 10, "tokenizer.eos_id: 10 is outside the target vocabulary of 10"),
        (
            ("limits", "max_target_tokens"),
            1025,
            "limits.max_target_tokens: 1025 is more than the network's 1024 positions",
        ),
        (("pairs",), [], "pairs: empty, and so are the tokenizer's languages; a bundle translates at least one pair"),
        (
            ("decoding", "shortlist"),
            True,
            "decoding.shortlist: true, but the bundle does not hold both a shortlist and a step_shortlist graph",
        ),
        (("decoding", "max_length_factor"), 0, "decoding.max_length_factor: 0 is not above 0 and at most 100"),
        (("decoding", "max_length_factor"), 101, "decoding.max_length_factor: 101 is not above 0 and at most 100"),
        (("decoding", "length_penalty"), -0.5, "decoding.length_penalty: -0.5 is not between 0 and 10"),
        (("decoding", "length_penalty"), 10.5, "decoding.length_penalty: 10.5 is not between 0 and 10"),
        (("decoding", "word_penalty"), -101, "decoding.word_penalty: -101 is not between -100 and 100"),
        (("decoding", "coverage_penalty"), -0.5, "decoding.coverage_penalty: -0.5 is not between 0 and 100"),
        (
            ("decoding", "coverage_penalty"),
            0.5,
            "decoding.coverage_penalty: needs attention, which this bundle's graphs do not give: export it again",
        ),
        (
            ("decoding", "unknown_handling"),
            "copy",
            "decoding.unknown_handling: needs attention, which this bundle's graphs do not give: export it again",
        ),
        (("decoding", "patience"), 0, "decoding.patience: 0 is not above 0 and at most 100"),
        (("decoding", "patience"), 100.5, "decoding.patience: 100.5 is not above 0 and at most 100"),
        (("decoding", "repetition_penalty"), 0, "decoding.repetition_penalty: 0 is not above 0 and at most 100"),
        (("decoding", "no_repeat_ngram_size"), -1, "decoding.no_repeat_ngram_size: -1 is negative"),
        (("decoding", "source_no_repeat_ngram_size"), -1, "decoding.source_no_repeat_ngram_size: -1 is negative"),
        (("decoding", "min_length"), -1, "decoding.min_length: -1 is not between 0 and max_length, which is 512"),
        (("decoding", "min_length"), 513, "decoding.min_length: 513 is not between 0 and max_length, which is 512"),
        (("forms",), [{"form": "X{n}", "share": 1.5}], "forms[0].share: 1.5 is not from 0 to 1"),
        *(
            (
                ("forms",),
                [{"form": form, "share": 1}],
                f"forms[0].form: '{form}' is not up to 16 letters, digits and signs",
            )
            for form in ("X", "{n}", "{n}{n}X", "X {n}", "X{m}", "X{n", "{{n}}", "X" * 14 + "{n}")
        ),
        (
            ("texts", "context"),
            {"separator": [10], "max_tokens": 5},
            "texts.context.separator: 10 is outside the vocabulary of 10",
        ),
        (("texts", "context"), {"separator": [], "max_tokens": 0}, "texts.context.max_tokens: 0 is below 1"),
        (
            ("texts", "context"),
            {"separator": [3], "max_tokens": 50},
            "texts.context: 51 tokens are more than half of the 100 that the model reads",
        ),
        (("forms",), [{"form": "X{n}", "share": 1}] * 2, "forms: a form stands in it twice"),
        (("decoding", "beam_size"), 61, "decoding.beam_size: 61 is more than 60"),
        (("decoding", "num_hypotheses"), 2, "decoding.num_hypotheses: 2 is more than beam_size, which is 1"),
        (("tokenizer", "unk_id"), -1, "tokenizer.unk_id: -1 is outside the target vocabulary of 10"),
        (("architecture", "source_vocabulary"), 1, "tokenizer.unk_id: 1 is outside the source vocabulary of 1"),
        (("tokenizer", "start_id"), -1, "tokenizer.start_id: -1 is negative"),
        (("tokenizer", "source_vocabulary"), "encoder.onnx", "tokenizer.source_vocabulary: needed by the kinds"),
        (("tokenizer", "prefix"), [10], "tokenizer.prefix: 10 is outside the vocabulary of 10"),
        (("tokenizer", "suffix"), [-1], "tokenizer.suffix: -1 is outside the vocabulary of 10"),
        (("tokenizer", "suffix"), ["source"], "tokenizer.source_languages: en is missing, which pairs has"),
        (("tokenizer", "forced_first"), 10, "tokenizer.forced_first: 10 is outside the vocabulary of 10"),
        (("tokenizer", "target_languages"), {"de": [10]}, "tokenizer.target_languages.de: 10 is outside the voc"),
        (
            ("tokenizer", "suppressed_ids"),
            [1, 10],
            "tokenizer.suppressed_ids: 10 is outside the target vocabulary of 10",
        ),
        (
            ("tokenizer", "suppressed_ids"),
            [1, 0],
            "tokenizer.suppressed_ids: 0 is the end token, and no translation would end",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(directory, edit, path, value, expected):
    """Well-typed values that cannot be true of one bundle."""

    def change(document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    edit(change)

    [problem] = problems_of(directory)
    assert problem.startswith(expected)


def test_repeats_of_the_source_need_one_vocabulary(directory, edit):
    """The source's ids must not be taken for target words where they mean others."""

    def change(document) -> None:
        document["architecture"] |= {"source_vocabulary": 11, "tying": "decoder"}
        document["decoding"]["source_no_repeat_ngram_size"] = 3

    edit(change)

    [problem] = problems_of(directory)
    assert "decoding.source_no_repeat_ngram_size: 3, and the source's words are not the target's" in problem


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        ({"target_languages": {"pt": [1, 2]}}, "tokenizer.target_languages.pt: 2 ids, and forced_first is exactly one"),
        ({"target_languages": {"pt": []}}, "tokenizer.target_languages.pt: 0 ids, and forced_first is exactly one"),
        ({"forced_first": "source"}, "tokenizer.forced_first: a translation begins with its own language"),
        ({"source_languages": {}}, "pairs: empty, and so are the tokenizer's languages"),
    ],
)
def test_languages_that_no_request_could_use_are_refused(directory, edit, tokenizer, expected):
    """Of a bundle that lists languages instead of pairs."""
    languages = {"source_languages": {"en": []}, "target_languages": {"pt": [3]}, "forced_first": "target"}

    edit(lambda document: (document.update(pairs=[]), document["tokenizer"].update(languages)))
    assert open_bundle(directory).manifest.tokenizer.target_languages == {"pt": (3,)}

    edit(lambda document: document["tokenizer"].update(tokenizer))
    assert any(problem.startswith(expected) for problem in problems_of(directory))


def test_patience_needs_a_rule_that_counts(directory, edit):
    """Two fields that contradict each other, each of them good by itself."""
    edit(lambda document: document["decoding"].update(patience=2.0, early_stopping="heuristic"))

    assert problems_of(directory) == ("decoding.patience: 2 has no meaning with early_stopping heuristic",)


def test_both_graphs_are_needed(directory, edit):
    """A bundle that cannot take a step translates nothing."""
    edit(lambda document: document["graphs"].pop("step"))

    assert problems_of(directory) == ("graphs.step: missing",)


@pytest.mark.parametrize(("held", "lacking"), [("candidates", "step_shortlist"), ("step_shortlist", "candidates")])
def test_the_graphs_of_a_shortlist_come_together(directory, edit, held, lacking):
    """One without the other would fail at the first request that asks for the shortlist."""
    edit(lambda document: document["graphs"].update({held: document["graphs"]["step"]}))

    assert problems_of(directory) == (f"graphs.{lacking}: missing, and {held} is of no use without it",)


def test_checksums_have_one_spelling(directory, edit):
    """Upper case would compare unequal to what is computed, and is refused as a form."""
    edit(lambda document: document["files"]["step.onnx"].update(sha256="A" * 64, size=-1))

    assert problems_of(directory) == (
        "files.'step.onnx'.sha256: expected 64 hexadecimal digits in lower case",
        "files.'step.onnx'.size: -1 is negative",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"attention": "dot"}, "architecture.recurrent.attention: dot, of memory of 6 and hidden states of 5"),
        ({"bridge": False}, "architecture.recurrent.bridge: false, but states of 6 cannot be states of 5"),
        (
            {"attention_width": 3},
            "architecture.recurrent.attention_width: for additive attention and heads, this one is general",
        ),
        ({"encoder_hidden": 0}, "architecture.recurrent.encoder_hidden: 0 is less than 1"),
        ({"source_width": 7}, "architecture.recurrent.source_width: 7 is not d_model, which tying needs"),
        ({"row_width": 0}, "architecture.recurrent.row_width: 0 is less than 1"),
        (
            {"attention": "heads", "attention_heads": 3},
            "architecture.recurrent.attention_heads: 3 does not divide a width of 5",
        ),
        ({"attention_heads": 5}, "architecture.recurrent.attention_heads: 5, of general attention, which has one"),
        (
            {"attention": "none"},
            "architecture.recurrent.attention: none, but copies, output_reads or row_width need one",
        ),
        (
            {"attention": "none", "output_reads": [], "first": "zeros", "bridge": False},
            "architecture.recurrent.first: zeros, and there is no attention: nothing would be known of the source",
        ),
        (
            {"output_reads": []},
            "architecture.recurrent.attention: general, and neither cell_reads nor output_reads has the context",
        ),
        ({"first": "zeros"}, "architecture.recurrent.bridge: true, of first states that are zeros"),
        ({"before": 3}, "architecture.recurrent.before: 3 of 1 cells"),
        (
            {"before": 0, "attention": "none", "output_reads": []},
            "architecture.recurrent.before: 0 of 1 cells, and there is no attention",
        ),
        (
            {"before": 0, "cell_reads": []},
            "architecture.recurrent.cell_reads: empty, and a cell after attention must read something",
        ),
        ({"cell_reads": ["word"]}, "architecture.recurrent.cell_reads: word, and no cell comes after attention"),
        (
            {"bridge": False, "decoder_hidden": 6, "bridge_activation": "tanh"},
            "architecture.recurrent.bridge_activation: tanh, and there is no bridge",
        ),
        (
            {"output_matrix": False, "output_activation": "relu"},
            "architecture.recurrent.output_activation: relu, of a matrix that there is not",
        ),
        (
            {"output_reads": ["context", "word", "context"]},
            "architecture.recurrent.output_reads: context, word, context: one of them twice",
        ),
    ],
)
def test_sizes_of_a_recurrent_network_must_fit(directory, edit, changes, expected):
    """What reads must be as wide as what it reads, and what is shared as wide as both."""
    sizes = {"source_width": 8, "target_width": 8, "encoder_hidden": 3, "decoder_hidden": 5, "bridge": True}
    others = {"bidirectional": True, "attention": "general", "attention_width": None, "input_feeding": True}

    def break_it(document) -> None:
        document["architecture"].update(decoder="lstm", heads=0, ffn=0, recurrent={**sizes, **others, **changes})

    edit(break_it)

    (problem,) = [each for each in problems_of(directory) if "recurrent" in each]
    assert problem == expected


@pytest.mark.parametrize(
    ("first", "is_transition", "expected"),
    [
        ("last", False, ["architecture.encoder_layers: 2, for 3 of the decoder, each of which starts from the last"]),
        ("last", True, ["architecture.recurrent.first: last, of 2 layers, and the decoder has one state"]),
        ("top", False, []),
        ("mean", True, []),
    ],
)
def test_other_numbers_of_layers_start_from_something_else(first, is_transition, expected):
    """Than each from one; a state that goes through all cells starts from one thing."""
    sizes = Recurrent(8, 8, 4, 8, first=first, is_transition=is_transition)
    shape = Architecture(8, 0, 0, 2, 3, 9, 9, decoder="gru", recurrent=sizes)

    problems = list(shape_problems(shape))

    assert len(problems) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(problems, expected, strict=True))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"positions": "rotary"}, "architecture.rotary: needed by positions rotary, and by no other"),
        ({"rotary": {}}, "architecture.rotary: needed by positions rotary, and by no other; these are sinusoidal"),
        ({"positions": "rotary", "rotary": {"key_heads": 3}}, "architecture.rotary.key_heads: 3 does not divide"),
        ({"positions": "rotary", "rotary": {"base": 0.0}}, "architecture.rotary.base: 0 is not above 0"),
        ({"positions": "rotary", "rotary": {"cap": -1.0}}, "architecture.rotary.cap: -1 is not above 0"),
        ({"positions": "rotary", "rotary": {"reach": [1, 1]}}, "architecture.rotary.reach: [1, 1] is not a distance"),
        ({"positions": "rotary", "rotary": {"reach": [-1]}}, "architecture.rotary.reach: [-1] is not a distance for"),
        ({"positions": "rotary", "rotary": {}, "head_width": 3}, "architecture.head_width: 3 is odd"),
        ({"positions": "rotary", "rotary": {}, "decoder": "ssru"}, "positions: rotary, which a decoder of ssru does"),
        ({"output_cap": 0.0}, "architecture.output_cap: 0 is not above 0"),
        ({"encoder_rotary": {}}, "architecture.encoder_rotary: of an encoder whose decoder has none"),
    ],
)
def test_attention_that_contradicts_itself_is_refused(directory, edit, change, expected):
    """Numbers of heads, caps and distances that no network could have."""
    whole = {"base": 10.0, "key_heads": 1, "cap": None, "reach": []}
    filled = {name: whole | value if isinstance(value, dict) else value for name, value in change.items()}

    edit(lambda document: document["architecture"].update(filled))

    assert any(expected in problem for problem in problems_of(directory))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: None, None),
        (lambda d: d.update(searcher="lstm"), "searcher: lstm, which is not in siblings"),
        (
            lambda d: d["siblings"]["ssru"].update(decoder="self-attention"),
            "siblings.ssru: of self-attention, beside self-attention; each has the name of its kind, once",
        ),
        (
            lambda d: d["siblings"]["ssru"].update(target_vocabulary=9),
            "siblings.ssru.target_vocabulary: 9, and architecture has 10",
        ),
        (lambda d: d["siblings"]["ssru"].update(decoder_layers=0), "siblings.ssru.decoder_layers: 0 is less than 1"),
        (lambda d: d["siblings"]["ssru"].update(heads=3), "siblings.ssru.heads: 3 does not divide d_model 8"),
        (lambda d: d["graphs"].pop("ssru.step"), "graphs.ssru.step: missing"),
        (lambda d: d["graphs"].pop("ssru.encoder"), "graphs.ssru.encoder: missing"),
    ],
)
def test_a_further_decoder_stands_in_for_the_first(directory, edit, change, expected):
    """It has graphs of its own, the same words, and a kind that no other has."""

    def add(document):
        document["siblings"] = {"ssru": {**document["architecture"], "decoder": "ssru"}}
        document["searcher"] = "ssru"
        for name in ("encoder", "step"):
            document["graphs"][f"ssru.{name}"] = document["graphs"][name]
        change(document)

    edit(add)

    if expected is None:
        assert open_bundle(directory).manifest.decoders == ["ssru", "self-attention"]
    else:
        assert expected in problems_of(directory)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"reach": [1, 2, 3]}, "encoder_window.reach: [1, 2, 3] is not a distance for each of"),
        ({"reach": [0] * 9}, "encoder_window.reach: [0, 0, 0, 0, 0, 0, 0, 0, 0] is not a distance"),
        ({"first": -1}, "encoder_window.first: -1 is not from 0 to 16"),
        ({"first": 17}, "encoder_window.first: 17 is not from 0 to 16"),
        ({"summed": 3}, "encoder_window.summed: 3 is not a power of two up to 256"),
        ({"summed": 512}, "encoder_window.summed: 512 is not a power of two up to 256"),
        ({"summed": -2}, "encoder_window.summed: -2 is not a power of two"),
        ({"summed": 2}, "encoder_window.summed: without first words, for pre-norm layers with relative positions"),
        ({"stretch": 4}, "encoder_window.stretch: its words see to its ends in all layers; even if staggered"),
        ({"reach": [2], "stretch": 3, "is_staggered": True}, "encoder_window.stretch: its words see to its ends"),
        ({"reach": [4], "stretch": 3, "linked": 1}, "encoder_window.stretch: its words see to its ends"),
        ({"is_staggered": True}, "encoder_window.is_staggered: true, of stretches that there are not"),
        ({"linked": 65}, "encoder_window.linked: 65 is not from 0 to 64"),
        ({"linked": 1}, "encoder_window.linked: of stretches that are not staggered, and without all else"),
        ({"tokens": -1}, "encoder_window.tokens: -1 is not from 0 to 4096"),
        ({"tokens": 1, "first": 1}, "encoder_window.tokens: without first words and sums, for pre-norm layers"),
        ({"positions": "shaw", "relative_distance": 2}, "encoder_window: of an encoder that has none, positions shaw"),
        ({"encoder_positions": 0}, "architecture.encoder_positions: 0 is less than 1"),
    ],
)
def test_windows_that_contradict_themselves_are_refused(directory, edit, change, expected):
    """Reaches, first words and sums that no encoder could have."""

    def break_it(document) -> None:
        shape = document["architecture"]
        window = {"reach": [2] * shape["encoder_layers"], "first": 0, "summed": 0}
        window |= {"stretch": 0, "is_staggered": False, "linked": 0, "tokens": 0}
        of_window = {name: value for name, value in change.items() if name in window}
        others = {name: value for name, value in change.items() if name not in window}
        shape.update(others, encoder_window=window | of_window)

    edit(break_it)

    assert any(expected in problem for problem in problems_of(directory))


def test_sources_are_limited_by_their_own_positions(directory, edit):
    """Where they have others than translations, these are what a bundle may promise to read."""

    def lengthen(document) -> None:
        document["architecture"].update(encoder_positions=5000, max_positions=100)
        document["limits"].update(max_source_tokens=5001, max_target_tokens=101)

    edit(lengthen)

    problems = [problem for problem in problems_of(directory) if problem.startswith("limits.")]
    assert [problem.partition(":")[2] for problem in problems] == [
        " 5001 is more than the network's 5000 positions",
        " 101 is more than the network's 100 positions",
    ]


@pytest.mark.parametrize(
    ("form", "changes", "expected"),
    [
        (Approximation("linear", 3), {}, "encoder_attention.size: 3, and linear has none"),
        (Approximation("linformer"), {}, "encoder_attention.size: 0 is not from 1 to 4096"),
        (Approximation("compressed", 3, rounds=2), {}, "encoder_attention.rounds: 2, and compressed has none"),
        (Approximation("sinkhorn", 8, rounds=65), {}, "encoder_attention.rounds: 65 is not from 1 to 64"),
        (Approximation("lsh", 8, 7, 1), {}, "encoder_attention.count: 7 is odd"),
        (
            Approximation("linear"),
            {"encoder_window": Window((3,))},
            "encoder_attention: of an encoder that has another",
        ),
        (Approximation("linear"), {"positions": "shaw", "relative_distance": 3}, "encoder_attention: positions shaw"),
    ],
)
def test_approximations_have_the_numbers_of_their_formulas(form, changes, expected):
    """And no others; and scores of no two words, which other positions are parts of."""
    given = {"d_model": 4, "heads": 2, "ffn": 8, "encoder_layers": 1, "decoder_layers": 1, **changes}
    shape = Architecture(**given, source_vocabulary=9, target_vocabulary=9, encoder_attention=form)

    problems = [problem for problem in shape_problems(shape) if "encoder_attention" in problem]

    assert [problem[: len(expected) + 13] for problem in problems] == [f"architecture.{expected}"]
