"""What config.json may say of a CTranslate2 model, and what is refused."""

import json

import numpy as np
import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.ctranslate2.binary import Variables
from dragoman.export.importers.ctranslate2.settings import Settings, read_settings


def read(folder, given, version=6, **stored):
    reasons = Reasons()
    if given is not None:
        (folder / "config.json").write_text(json.dumps(given))
    variables = Variables(version, {name: np.array(value) for name, value in stored.items()}, reasons)
    return read_settings(folder, variables, reasons), " ".join(reasons._unmet)


def test_all_that_the_library_writes_is_read(tmp_path):
    """Fields that change nothing too, where they are off; what is left out has the library's default."""
    given = {
        "unk_token": "u",
        "bos_token": "b",
        "eos_token": "e",
        "decoder_start_token": None,
        "add_source_bos": True,
        "add_source_eos": True,
        "layer_norm_epsilon": 1,
        "multi_query_attention": False,
        "quantization_type": 0,
        "quantization_bits": None,
    }

    assert read(tmp_path, given) == (Settings("u", "b", "e", None, adds_begin=True, adds_end=True, epsilon=1), "")
    assert type(read(tmp_path, given)[0].epsilon) is float
    assert read(tmp_path, {}) == (Settings(), "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_norm_epsilon", "1e-3"),
        ("layer_norm_epsilon", -1.0),
        ("layer_norm_epsilon", 0),
        ("layer_norm_epsilon", True),
        ("layer_norm_epsilon", 10**400),
        ("add_source_eos", "false"),
        ("add_source_bos", 1),
        ("eos_token", None),
        ("unk_token", 3),
        ("decoder_start_token", ["<s>"]),
        ("multi_query_attention", True),
        ("quantization_bits", 4),
        ("scale_by_moon", 1),
    ],
)
def test_what_is_of_another_type_or_not_known_is_refused_by_name(tmp_path, name, value):
    """Nothing is taken for true or left out in silence."""
    assert name in read(tmp_path, {name: value})[1]


def test_a_model_says_where_its_settings_are(tmp_path):
    """Of version 6 in config.json, without which it does not run; before, among its variables."""
    assert "config.json is missing" in read(tmp_path, None)[1]
    assert read(tmp_path, None, 5, with_target_bos=np.int8(0), with_source_eos=np.int8(1)) == (
        Settings(start="</s>", adds_end=True),
        "",
    )
