"""Models of letters and sounds, with random weights: what is read, and what is refused. Their packages' own outputs are
compared in tests/formats.
"""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.export import check_tokenizers
from dragoman.export.importers.formats import read
from dragoman.export.importers.letters.importer import LETTERS, SOUNDS
from dragoman.export.network.load import load_network

READ, SAID = ["<pad>", "<sos>", "<eos>", "a", "b", " "], ["<pad>", "<sos>", "<eos>", "ア", "ー"]


def random(shape):
    return np.random.default_rng(len(shape) + shape[0]).normal(0, 0.4, shape).astype(np.float32)


def g2p_arrays(width=6):
    arrays = {"enc_emb": random((len(LETTERS), width)), "dec_emb": random((len(SOUNDS), width))}
    for side in ("enc", "dec"):
        arrays |= {f"{side}_w_{part}": random((3 * width, width)) for part in ("ih", "hh")}
        arrays |= {f"{side}_b_{part}": random((3 * width,)) for part in ("ih", "hh")}
    return {**arrays, "fc_w": random((len(SOUNDS), width)), "fc_b": random((len(SOUNDS),))}


def e2k_arrays(d=8):
    arrays = {"e_emb.weight": random((len(READ), d)), "k_emb.weight": random((len(SAID), d))}
    for name, reads, ways in (
        ("encoder", d, ("", "_reverse")),
        ("pre_decoder", d, ("",)),
        ("post_decoder", 2 * d, ("",)),
    ):
        for way in ways:
            arrays[f"{name}.weight_ih_l0{way}"] = random((3 * d, reads))
            arrays[f"{name}.weight_hh_l0{way}"] = random((3 * d, d))
            arrays |= {f"{name}.bias_{part}_l0{way}": random((3 * d,)) for part in ("ih", "hh")}
    for name, rows, columns in (("encoder_fc.0", d, 2 * d), ("attn.out_proj", d, d), ("fc", len(SAID), d)):
        arrays |= {f"{name}.weight": random((rows, columns)), f"{name}.bias": random((rows,))}
    return {**arrays, "attn.in_proj_weight": random((3 * d, d)), "attn.in_proj_bias": random((3 * d,))}


def e2k_file(folder, arrays, **changes):
    facts = {"in_table": "\0".join(READ), "out_table": "\0".join(SAID), "sos_idx": "1", "eos_idx": "2", **changes}
    save_file(arrays, folder / "model-c2k.safetensors", facts)
    return folder / "model-c2k.safetensors"


def test_a_model_of_sounds_has_no_attention(tmp_path):
    """Its weights fit, and a word's letters end with the letters' own end."""
    np.savez(tmp_path / "checkpoint20.npz", **g2p_arrays())

    found = read(tmp_path / "checkpoint20.npz", "auto", None, None)

    load_network(found)
    check_tokenizers(found)
    assert found.architecture.recurrent is not None
    assert (found.licence, found.notes) == ("", ("the files state no licence",))
    assert (found.architecture.recurrent.attention, found.decoding.max_length) == ("none", 20)
    assert (found.tokenizer.suffix, found.tokenizer.source_end, found.tokenizer.eos_id) == ((2,), False, 3)
    assert str(found.pairs[0]) == "en-en-fonipa"


def test_a_model_of_katakana_attends_between_two_cells(tmp_path):
    """Its weights fit, and its tables are its tokenizer."""
    found = read(e2k_file(tmp_path, e2k_arrays()), "auto", None, "ja")

    network = load_network(found)
    ids = torch.tensor([[1, 3, 4, 2]])
    memory = network.memory(ids, torch.zeros(1, 1, 1, 4))
    assert network.full(torch.tensor([[1, 3]]), memory, torch.zeros(1, 1, 1, 4)).shape == (1, 2, len(SAID))
    check_tokenizers(found)
    assert found.name == "e2k"
    assert (str(found.pairs[0]), found.decoding.max_length, found.tokenizer.prefix) == ("en-ja", 16, (1,))


def test_what_is_missing_or_does_not_fit_is_refused(tmp_path):
    """Tables that are too short or lie, tensors that are missing or no numbers, and a file cut off."""
    arrays = e2k_arrays()

    def reasons(path):
        with pytest.raises(UnsupportedModel) as caught:
            read(path, "letters", None, None)
        return " ".join(caught.value.reasons)

    assert "not as long as its embeddings" in reasons(e2k_file(tmp_path, arrays, in_table="<pad>\0<sos>\0<eos>\0a"))
    assert "tables do not hold what they say" in reasons(e2k_file(tmp_path, arrays, eos_idx="x"))
    assert "fc.weight is missing" in reasons(e2k_file(tmp_path, {k: v for k, v in arrays.items() if k != "fc.weight"}))
    assert "has no words behind the end's" in reasons(
        e2k_file(tmp_path, arrays, eos_idx=str(len(READ) - 1), out_table="\0".join([*SAID, "x", "y"]))
    )
    for name, rows in (("in_proj_weight", 25), ("in_proj_bias", 25)):
        odd = random((rows, 8)) if name.endswith("weight") else random((rows,))
        assert f"attn.{name} is not queries, keys and values" in reasons(
            e2k_file(tmp_path, {**arrays, f"attn.{name}": odd})
        )
    assert "tables do not hold what they say" in reasons(e2k_file(tmp_path, arrays, sos_idx="1" * 5000))
    assert "4 does not divide a width of 6" in reasons(e2k_file(tmp_path, e2k_arrays(6)))
    assert "encoder.weight_ih_l1 is not known" in reasons(
        e2k_file(tmp_path, {**arrays, "encoder.weight_ih_l1": arrays["encoder.weight_ih_l0"]})
    )
    assert "not finite" in reasons(e2k_file(tmp_path, {**arrays, "fc.bias": np.full(len(SAID), np.nan, np.float32)}))
    path = e2k_file(tmp_path, arrays)
    path.write_bytes(path.read_bytes()[:-9])
    assert "damaged or cut off" in reasons(path)
    np.savez(tmp_path / "c.npz", **{**g2p_arrays(), "fc_w": random((7, 6))})
    assert "fc_w has 7 rows, and g2p-en's own table 74" in reasons(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"no archive")
    assert "neither e2k's" in reasons(tmp_path / "d.npz")
