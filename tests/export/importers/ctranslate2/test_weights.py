"""CTranslate2's variables under canonical names; what they compute is compared with the library in `test_importer`."""

import converted
import numpy as np
import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.ctranslate2.binary import Variables, read_variables
from dragoman.export.importers.ctranslate2.weights import place_variables


def variables_of(folder, **case) -> Variables:
    found = read_variables(converted.save(folder / "m", **case), Reasons())
    assert found is not None
    return found


def test_words_that_are_the_same_are_stored_once(tmp_path):
    """Tying is what the numbers say."""
    tied = place_variables(variables_of(tmp_path / "a", tied=True), None)
    own = place_variables(variables_of(tmp_path / "b"), None)

    assert tied is not None
    assert own is not None
    assert (tied.architecture.tying, own.architecture.tying) == ("all", "none")
    assert "target_embedding" not in tied.weights


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("encoder/activation", np.int8(6), "the encoder's activation is not read"),
        ("decoder/num_heads", np.int16(0), "the decoder has 0 heads"),
        ("decoder/num_heads", np.int16(5), "architecture.heads: 5 does not divide d_model 12"),
        ("decoder/scale_embeddings", np.float32(0), "decoder/scale_embeddings is 0, not above 0"),
        ("decoder/layer_0/ffn/linear_0/weight", np.float32(1), "has the shape [], and must have 2 axes"),
        ("encoder/embeddings_0/weight", np.zeros(4, np.float32), "has the shape [4], and must have 2 axes"),
        ("decoder/layer_0/attention/layer_norm/gamma", np.float32(1), "has the shape [], and must have 1 axes"),
        ("decoder/alibi", np.int8(1), "decoder/alibi is of a form that is not read"),
        ("decoder/layer_0/self_attention/rotary_dim", np.int32(4), "rotary_dim is of a form that is not read"),
        (
            "encoder/layer_1/self_attention/linear_0/weight",
            None,
            "encoder/layer_1/self_attention/linear_0/weight is missing",
        ),
    ],
)
def test_forms_that_are_not_read_are_refused_by_name(tmp_path, name, value, reason):
    """What the file says and nothing asks for, and what is asked for and not there."""
    variables = variables_of(tmp_path)
    stored = dict(variables.stored)
    if value is None:
        del stored[name]
    else:
        stored[name] = np.array(value)
    variables.stored = stored

    assert place_variables(variables, None) is None
    assert reason in " ".join(variables.reasons._unmet)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("encoder/layer_1/self_attention/relative_attention_bias", None, "relative_attention_bias is missing"),
        ("decoder/layer_1/self_attention/relative_attention_bias", 2.0, "has biases by distance of its own"),
        ("decoder/layer_0/self_attention/relative_attention_max_distance", 9, "is 9, not 12 as the first layer's"),
        ("encoder/layer_1/self_attention/relative_attention_max_distance", None, "is 0, not 12"),
    ],
)
def test_biases_by_distance_are_one_stacks_own(tmp_path, name, value, reason):
    """A table in every layer, and one distance everywhere."""
    variables = variables_of(tmp_path, **converted.CASES["t5"])
    stored = dict(variables.stored)
    before = stored.pop(name)
    if value is not None:
        stored[name] = np.full_like(before, value)
    variables.stored = stored

    assert place_variables(variables, None) is None
    assert reason in " ".join(variables.reasons._unmet)


def test_tables_of_no_positions_are_refused(tmp_path):
    """Not loaded as a model that can read nothing."""
    variables = variables_of(tmp_path, **converted.CASES["learned"])
    empty = {f"{side}/position_encodings/encodings": np.zeros((0, 12), np.float32) for side in ("encoder", "decoder")}
    variables.stored = {**variables.stored, **empty}

    assert place_variables(variables, None) is None
    assert "encoder/position_encodings/encodings has the shape [0, 12]" in " ".join(variables.reasons._unmet)
