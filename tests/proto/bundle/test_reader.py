"""Opening a bundle: everything that can be wrong with one is refused, with its reason."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import pytest

from dragoman.bundle.errors import BundleCorrupt, BundleMissing, BundleTooNew, BundleTooOld
from dragoman.bundle.manifest import FORMAT_VERSION
from dragoman.bundle.reader import MAX_MANIFEST_BYTES, open_bundle


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


def test_a_bundle_opens_with_what_was_written(directory, manifest, content):
    """Manifest, files, size and digest are those of the folder."""
    bundle = open_bundle(directory)

    assert dataclasses.replace(bundle.manifest, files={}) == manifest
    assert {name: bundle.path(name).read_bytes() for name in bundle.manifest.files} == content
    assert bundle.size == sum(map(len, content.values()))
    assert bundle.digest == hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    digest = bundle.digest[:12]
    assert repr(bundle) == f"<Bundle opus-tiny en-pt-BR,en-pt fp32 3 files {bundle.size} bytes sha256:{digest}>"


def test_only_listed_files_have_a_path(directory):
    """A name that was not verified leads nowhere, however it is spelt."""
    bundle = open_bundle(directory)

    for name in ("step.onnx.data", "../bundle/step.onnx", "manifest.json"):
        with pytest.raises(BundleMissing, match=r"it has encoder\.onnx, step\.onnx, text/vocabulary\.spm"):
            bundle.path(name)


def test_one_changed_byte_is_found(directory):
    """Same size, one bit: the checksum tells."""
    path = directory / "step.onnx"
    data = bytearray(path.read_bytes())
    data[1234] ^= 1
    path.write_bytes(data)

    assert problems_of(directory) == ("step.onnx has changed: its SHA-256 is not the one in the manifest",)


@pytest.mark.parametrize(("size", "found"), [(0, 0), (3999, 3999), (4001, 4001)])
def test_another_size_is_found_before_hashing(directory, size, found):
    """Cut short, emptied or grown."""
    path = directory / "step.onnx"
    path.write_bytes(path.read_bytes().ljust(size, b"x")[:size])

    assert problems_of(directory) == (f"step.onnx has {found} bytes, the manifest says 4000",)


def test_a_missing_file_is_named(directory):
    """Every listed file has to be there."""
    (directory / "encoder.onnx").unlink()

    assert problems_of(directory) == ("encoder.onnx is listed in the manifest but missing",)


@pytest.mark.parametrize("name", ["notes.txt", "text/extra", ".hidden", "step.onnx.data"])
def test_an_extra_file_is_refused(directory, name):
    """Nothing lies in a bundle that the manifest does not answer for."""
    (directory / name).write_bytes(b"x")

    assert problems_of(directory) == (f"{name!r} is not listed in the manifest; remove it, or export again",)


def test_an_extra_directory_is_refused(directory):
    """Even an empty one."""
    (directory / "more").mkdir()

    assert problems_of(directory) == ("'more' is not listed in the manifest; remove it, or export again",)


def test_a_link_out_is_refused_though_its_content_is_right(directory, tmp_path):
    """What a link leads to can change after it was verified."""
    outside = tmp_path / "outside"
    (directory / "step.onnx").rename(outside)
    (directory / "step.onnx").symlink_to(outside)

    assert problems_of(directory) == ("'step.onnx' is a symbolic link; a bundle holds regular files only",)


def test_a_linked_directory_is_refused(directory, tmp_path):
    """A link on the way to a file is as bad as the file being one."""
    (directory / "text").rename(tmp_path / "elsewhere")
    (directory / "text").symlink_to(tmp_path / "elsewhere")

    assert problems_of(directory) == (
        "'text' is a symbolic link; a bundle holds regular files only",
        "text/vocabulary.spm is listed in the manifest but missing",
    )


def test_a_dangling_link_is_refused(directory):
    """An extra entry that leads nowhere is still an extra entry."""
    (directory / "nothing").symlink_to("/does/not/exist")

    assert problems_of(directory) == ("'nothing' is a symbolic link; a bundle holds regular files only",)


def test_the_folder_itself_may_be_reached_through_a_link(directory, tmp_path):
    """`current -> v3` is how releases are switched; the bundle then knows its real place."""
    (tmp_path / "current").symlink_to(directory)

    assert open_bundle(tmp_path / "current").directory == directory.resolve()


def test_a_hard_link_is_allowed(directory, tmp_path):
    """Package installers make them, and they are the bytes that were hashed."""
    os.link(directory / "step.onnx", tmp_path / "other-name")

    assert open_bundle(directory).path("step.onnx").stat().st_nlink == 2


def test_a_pipe_in_place_of_a_file_is_refused_and_not_read(directory):
    """Reading it would wait for ever."""
    (directory / "step.onnx").unlink()
    os.mkfifo(directory / "step.onnx")

    assert problems_of(directory) == ("'step.onnx' is not a regular file",)


def test_a_directory_in_place_of_a_file_is_refused(directory):
    """A name is not enough."""
    (directory / "step.onnx").unlink()
    (directory / "step.onnx").mkdir()

    assert problems_of(directory) == ("'step.onnx' is not a regular file",)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "text/../../outside",
        "text//vocabulary.spm",
        "./step.onnx",
        "..",
        "",
        "text/",
        "..\\outside",
        "C:\\outside",
        "C:/outside",
        ".hidden",
        "step.onnx ",
        "stép.onnx",
        "x" * 300,
    ],
)
def test_a_name_that_could_lead_out_is_refused(directory, edit, tmp_path, name):
    """Refused as a name, before any such path is touched."""
    (tmp_path / "outside").write_bytes(b"x")
    entry = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}
    edit(lambda document: document["files"].update({name: entry}))

    (problem,) = problems_of(directory)

    assert "is not a safe file name" in problem


def test_the_manifest_does_not_list_itself(directory, edit):
    """No file can hold its own checksum."""
    edit(lambda document: document["files"].update({"manifest.json": {"sha256": "0" * 64, "size": 1}}))

    assert "is the manifest itself" in problems_of(directory)[0]


def test_a_newer_version_is_called_newer_whatever_else_it_holds(directory, edit):
    """Unknown keys of a newer format are no reason to call it malformed."""
    edit(lambda document: document.update(format_version=FORMAT_VERSION + 1, new_key={}))

    with pytest.raises(
        BundleTooNew, match=rf"format version {FORMAT_VERSION + 1}, this dragoman reads up to {FORMAT_VERSION}; upg"
    ):
        open_bundle(directory)


def test_an_older_version_is_to_be_exported_again(directory, edit):
    """Its missing keys are no corruption."""
    edit(lambda document: (document.update(format_version=FORMAT_VERSION - 1), document.pop("tokenizer")))

    with pytest.raises(BundleTooOld, match=rf"format version {FORMAT_VERSION - 1}, this .* {FORMAT_VERSION}; export"):
        open_bundle(directory)


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_the_first_is_refused(directory, edit, version):
    """There was none."""
    edit(lambda document: document.update(format_version=version))

    assert problems_of(directory) == (f"format_version: {version} is less than 1",)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "manifest.json: not JSON that can be read: "),
        (b"{", "manifest.json: not JSON that can be read: "),
        (b"\xff\xfe", "manifest.json: not UTF-8 at byte 0"),
        (b"null", "manifest.json: the document: expected an object, found null"),
        (b" " * (MAX_MANIFEST_BYTES + 1), f"manifest.json has {MAX_MANIFEST_BYTES + 1} bytes, the limit is"),
    ],
)
def test_a_manifest_that_is_none_is_refused(directory, data, expected):
    """Empty, cut off, binary, another document, or one made to fill the memory."""
    (directory / "manifest.json").write_bytes(data)

    (problem,) = problems_of(directory)

    assert problem.startswith(expected)


def test_wrong_types_are_told_with_their_paths(directory, edit):
    """The codec's problems come through, each with the file they are in."""

    def break_it(document) -> None:
        document["limits"]["max_source_tokens"] = "100"
        document["precision"] = "fp4"

    edit(break_it)

    assert problems_of(directory) == (
        "manifest.json: limits.max_source_tokens: expected an integer, found '100'",
        "manifest.json: precision: expected one of 'fp32', 'fp16', 'int8', found 'fp4'",
    )


def test_several_problems_are_told_at_once(directory):
    """A changed, a missing and an extra file: one error, three reasons."""
    (directory / "step.onnx").write_bytes(b"STEP" * 1000)
    (directory / "encoder.onnx").unlink()
    (directory / "zzz").write_bytes(b"")

    with pytest.raises(BundleCorrupt, match="refused for 3 reasons") as error:
        open_bundle(directory)

    assert len(error.value.problems) == 3
    assert all(name in str(error.value) for name in ("step.onnx", "encoder.onnx", "zzz"))


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
        (("architecture", "position_offset"), -1, "architecture.position_offset: -1 is negative"),
        (
            ("architecture", "positions"),
            "relative",
            "architecture.relative_distance: 0 is not more than half of relative_buckets, which is 0 and must be at "
            "least 4",
        ),
        (
            ("architecture", "decoder"),
            "gru",
            "architecture.recurrent: needed by the decoders lstm and gru, and by no other; this one is gru",
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
        (("decoding", "min_length"), -1, "decoding.min_length: -1 is not between 0 and max_length, which is 512"),
        (("decoding", "min_length"), 513, "decoding.min_length: 513 is not between 0 and max_length, which is 512"),
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


def test_no_folder_and_no_manifest_are_missing_bundles(tmp_path):
    """Told apart from a broken one, with the way out."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")

    for name, reason in (("none", "no such directory"), ("file", "no such directory"), ("empty", "not a bundle")):
        with pytest.raises(BundleMissing, match=reason):
            open_bundle(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"attention": "dot"}, "architecture.recurrent.attention: dot, of memory of 6 and hidden states of 5"),
        ({"bridge": False}, "architecture.recurrent.bridge: false, but states of 6 cannot be states of 5"),
        ({"attention_width": 3}, "architecture.recurrent.attention_width: for additive attention, this one is general"),
        ({"encoder_hidden": 0}, "architecture.recurrent.encoder_hidden: 0 is less than 1"),
        ({"source_width": 7}, "architecture.recurrent.source_width: 7 is not d_model, which tying needs"),
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
