"""Two bundles on one encoder become one: what each decoder says, what stays out, what is refused."""

import numpy as np
import pytest

from dragoman.bundle.graphs import DEVICE_STEP
from dragoman.bundle.manifest import Form
from dragoman.bundle.reader import open_bundle
from dragoman.cli.main import main
from dragoman.export.core.errors import ExportError
from dragoman.export.joining.join import join
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, Request
from dragoman.server.core.translations import Translation

TEXTS = ("a cab ride", "bad ideas decide", "be rice, deer beer", "beer", "a bad deer braces ideas")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where bundles lie that several tests read."""
    return tmp_path_factory.mktemp("exported")


@pytest.fixture
def exported(marian, kept):
    """A bundle of a tiny model with one encoder and words, whatever its decoder is."""

    def make(decoder: str, *, encoder: int = 3, precision: str = "int8"):
        directory = kept / f"{decoder}-{encoder}-{precision}"
        if not directory.exists():
            model = marian(decoder)
            random = np.random.default_rng(encoder)
            for key in sorted(model.parameters):
                if key.startswith("encoder_") or key in ("Wemb", "decoder_ff_logit_out_b"):
                    model.parameters[key] = random.normal(size=model.parameters[key].shape).astype(np.float32)
            given = ["export", str(model.write()), "--output", str(directory), "--precision", precision, "--no-probe"]
            assert main(given) == 0
        return open_bundle(directory)

    return make


def said(directory, **options) -> list[Translation]:
    decoding = DecodingOverrides(beam_size=3, num_hypotheses=3, max_length=12)
    with LocalTranslator(directory, threads=1) as translator:
        found = translator.outcomes(Request(TEXTS, decoding, **options))
    assert all(isinstance(one, Translation) for one in found), found
    return found  # type: ignore[return-value]


def words(found: list[Translation]) -> list[list[tuple[str, float | None]]]:
    return [[(one.text, one.score) for one in each.hypotheses] for each in found]


def test_each_decoder_says_what_it_said_alone(exported, tmp_path):
    """To the last bit of each score: the default one where none is named, and each by its name."""
    first, second = exported("self-attention"), exported("ssru")
    joined = join(first, second, tmp_path / "joined", searches=True)

    assert joined.manifest.decoders == ["ssru", "self-attention"]
    mine, theirs = words(said(first.directory)), words(said(second.directory))
    assert mine != theirs
    assert words(said(joined.directory)) == theirs
    assert words(said(joined.directory, decoder="ssru")) == theirs
    assert words(said(joined.directory, decoder="self-attention")) == mine
    assert words(said(first.directory, decoder="self-attention")) == mine
    assert words(said(joined.directory, engine=EnginePreference.QUALITY)) == theirs


def test_what_both_have_lies_there_once(exported, tmp_path):
    """The encoder and the words add nothing; each graph of the second has its decoder's name before its own."""
    first, second = exported("self-attention"), exported("ssru")
    joined = join(first, second, tmp_path / "joined", searches=False)

    sizes = [one.manifest.files["weights.bin"].size for one in (first, second, joined)]
    assert sizes[2] < sum(sizes[:2])
    assert joined.manifest.decoders == ["self-attention", "ssru"]
    assert {name for name in joined.manifest.graphs if name.startswith("ssru.")} == {
        f"ssru.{name}" for name in second.manifest.graphs
    }
    assert joined.manifest.of(None).graphs == first.manifest.graphs
    assert joined.manifest.of("ssru").graphs.keys() == second.manifest.graphs.keys()
    assert "join.ssru" in joined.manifest.provenance.options
    assert [one.compared for one in joined.manifest.parity[-len(second.manifest.parity) :]] == [
        f"ssru: {one.compared}" for one in second.manifest.parity
    ]


def test_forms_are_those_of_the_decoder_that_searches(exported, tmp_path):
    """What the other one copies does not matter where it is not asked."""
    first, second = exported("self-attention"), exported("ssru")
    forms = (Form("N{n}", 0.5),)
    second.manifest.__dict__["forms"] = forms

    assert join(first, second, tmp_path / "a", searches=True).manifest.forms == forms
    assert join(first, second, tmp_path / "b", searches=False).manifest.forms == ()


def test_what_is_no_sibling_is_refused(exported, tmp_path):
    """Another encoder, another precision, the same kind of decoder, a bundle of two: all reasons at once."""
    first, second = exported("self-attention"), exported("ssru")
    joined = join(first, second, tmp_path / "joined", searches=True)
    other = exported("ssru", encoder=4, precision="fp32")

    with pytest.raises(ExportError, match=r"precision are not the same; their encoders differ in .* and \d+ more"):
        join(first, other, tmp_path / "none", searches=True)
    with pytest.raises(ExportError, match="its decoder is of ssru, and there ssru, self-attention already"):
        join(joined, second, tmp_path / "none", searches=True)
    with pytest.raises(ExportError, match="has ssru besides, and a sibling is one decoder alone"):
        join(second, joined, tmp_path / "none", searches=True)
    assert not (tmp_path / "none").exists()


def test_an_export_of_both_has_both(exported, tmp_path, capsys):
    """In another precision, for a GPU say: each decoder says what an export of its own bundle says, to the last bit,
    and the one that searched searches; those that a GPU has graphs of its own for have them.
    """
    both = exported("self-attention"), exported("ssru")
    sources = {"joined": join(*both, tmp_path / "joined", searches=True), "own": both[0], "ssru": both[1]}

    for name, source in sources.items():
        given = ["export", str(source.directory), "--output", str(tmp_path / f"{name}-fp32"), "--precision", "fp32"]
        assert main([*given, "--no-probe"]) == 0
    whole = open_bundle(tmp_path / "joined-fp32").manifest

    assert "left out" not in capsys.readouterr().out
    assert (whole.decoders, whole.searcher) == (["ssru", "self-attention"], "ssru")
    assert DEVICE_STEP in whole.of(None).graphs
    assert DEVICE_STEP not in whole.of("ssru").graphs
    for decoder, name in (("self-attention", "own"), ("ssru", "ssru"), (None, "ssru")):
        alone = words(said(tmp_path / f"{name}-fp32"))
        assert words(said(tmp_path / "joined-fp32", decoder=decoder)) == alone
