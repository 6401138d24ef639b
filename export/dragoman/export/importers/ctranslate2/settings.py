"""What surrounds a CTranslate2 model: `config.json` as a checklist, or the variables that files of before have for it.

Each field has the type that the library writes. What is not known is refused: it may be what the model needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.ctranslate2.binary import Variables
from dragoman.export.importers.ctranslate2.folder import CONFIG
from dragoman.export.importers.files.json_files import read_json

WITH_CONFIG = 6
"""The version of `model.bin` from which `config.json` is beside it."""
Check = tuple[str, str, Callable[[Any], bool]]


@dataclass(frozen=True)
class Settings:
    """Special words, and which of them stand around a source. The defaults are the library's."""

    unknown: str = "<unk>"
    begin: str = "<s>"
    end: str = "</s>"
    start: str | None = "<s>"
    """None where callers give the first word."""
    adds_begin: bool = False
    adds_end: bool = False
    epsilon: float | None = None
    """None is the usual one of the norm's kind."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_epsilon(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 < value <= 1)


def _is_off(value: Any) -> bool:
    return value is None or (type(value) in (bool, int) and value == 0)


FIELDS: dict[str, Check] = {
    "unk_token": ("unknown", "a word", _is_text),
    "bos_token": ("begin", "a word", _is_text),
    "eos_token": ("end", "a word", _is_text),
    "decoder_start_token": ("start", "a word or null", lambda value: value is None or _is_text(value)),
    "add_source_bos": ("adds_begin", "true or false", _is_flag),
    "add_source_eos": ("adds_end", "true or false", _is_flag),
    "layer_norm_epsilon": ("epsilon", "a number above 0, up to 1, or null", _is_epsilon),
    "multi_query_attention": ("", "false: grouped queries are not read", _is_off),
    "quantization_type": ("", "null: weights of groups are not read", _is_off),
    "quantization_bits": ("", "null: weights of groups are not read", _is_off),
    "quantization_group_size": ("", "null: weights of groups are not read", _is_off),
}


def read_settings(folder: Path, variables: Variables, reasons: Reasons) -> Settings:
    """The settings of a model; with a reason for each that is not as it must be."""
    if variables.version < WITH_CONFIG:
        return _of_variables(variables)
    file = folder / CONFIG
    if not file.is_file():
        reasons.add(f"{CONFIG} is missing, without which a model of version {variables.version} does not run")
        return Settings()
    given = read_json(file, reasons)
    unknown = sorted(given.keys() - FIELDS.keys())
    reasons.require(
        not unknown, f"{CONFIG}: {', '.join(map(short, unknown[:5]))}: not known, and may change what it does"
    )
    values: dict[str, Any] = {}
    for name in sorted(given.keys() & FIELDS.keys()):
        field, wanted, is_right = FIELDS[name]
        if not is_right(given[name]):
            reasons.add(f"{CONFIG}: {name} must be {wanted}, it says {short(given[name])}")
        elif field:
            values[field] = float(given[name]) if type(given[name]) is int else given[name]
    return Settings(**values)


def _of_variables(variables: Variables) -> Settings:
    begins = bool(variables.scalar("with_target_bos", default=1))
    return Settings(
        start="<s>" if begins else "</s>",
        adds_begin=bool(variables.scalar("with_source_bos", default=0)),
        adds_end=bool(variables.scalar("with_source_eos", default=0)),
    )
