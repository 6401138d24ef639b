"""Which files belong to a Marian model: the model, its decoding settings, vocabularies and shortlist.

Files are named by the decoding settings where there are some, and found by the names that Marian, Bergamot and
Firefox give them where not. Only names count, never directories: a checkpoint's settings name paths of the machine it
was made on, and may not make the export read any other file of this one.
"""

import itertools
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.texts import read_text
from dragoman.export.importers.marian.files import CONFIG_NAME
from dragoman.export.importers.marian.options import Options, read_options

MODELS = ("model*.bin", "model*.npz")
SETTINGS = ("config*.yml", "config*.yaml", "*decoder.yml")
SHORTLISTS = ("lex*.bin",)
SHARED_VOCABULARIES = ("vocab*.spm", "spm*.model", "vocab*.yml", "vocab*.yaml", "vocab*.json")
SOURCE_VOCABULARIES = ("srcvocab*.spm", "vocab.src*.spm", "source*.spm", "srcvocab*.yml", "vocab.src*.yml")
TARGET_VOCABULARIES = ("trgvocab*.spm", "vocab.trg*.spm", "target*.spm", "trgvocab*.yml", "vocab.trg*.yml")

_BIN_HEAD = struct.Struct("<2Q")
_MANY_TENSORS = 1_000_000
_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
# ISO 639-1.
_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv "
    "ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne "
    "ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss "
    "st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
# English words that two language codes happen to spell.
_NOT_PAIRS = "base beam best bits data home last late line lite made mine save sets site test tiny tone"


@dataclass
class MarianFolder:
    """The files of one model. Absent ones are None, and a reason where the model cannot do without."""

    model: Path
    settings_file: Path | None = None
    settings: Options = field(default_factory=dict)
    vocabularies: tuple[Path, Path] | None = None
    shortlist: Path | None = None
    unused: tuple[str, ...] = ()
    """Settings that are for another model of the same folder."""


def model_files(path: Path) -> list[Path]:
    """Every Marian model at `path`, which is a folder or a model itself, judged by name and first bytes."""
    candidates = [path] if path.is_file() else _matching(path, MODELS)
    return [candidate for candidate in candidates if _begins_like_a_model(candidate)]


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is a Marian model or a folder with one; None if it is not."""
    models = model_files(path)
    return f"Marian model {', '.join(model.name for model in models)}" if models else None


def read_folder(path: Path, reasons: Reasons) -> MarianFolder | None:
    """Find the files of the one model at `path`; None when it is not clear which that is."""
    if not path.exists():
        reasons.add("there is no such file or folder")
        return None
    models = model_files(path)
    directory = path if path.is_dir() else path.parent
    settings = {file: _settings(file, reasons) for file in _matching(directory, SETTINGS)}
    if len(models) > 1:
        named = [model for model in models if any(model.name in _names(each, "models") for each in settings.values())]
        models = named or models
    if len(models) != 1:
        names = ", ".join(model.name for model in models) or "none"
        reasons.add(f"expected one Marian model (model*.bin or model*.npz), found {names}; name the file itself")
        return None
    folder = MarianFolder(models[0])
    mine = [file for file, options in settings.items() if models[0].name in _names(options, "models")]
    if len(mine) > 1:
        listed = ", ".join(file.name for file in mine)
        reasons.add(f"several files hold decoding settings for {models[0].name}: {listed}; keep one of them")
    elif mine:
        folder.settings_file, folder.settings = mine[0], settings[mine[0]]
    folder.unused = tuple(file.name for file in settings if file not in mine)
    folder.vocabularies = _vocabularies(directory, folder.settings, reasons)
    folder.shortlist = _shortlist(directory, folder.settings, reasons)
    return folder


def language_pair(folder: MarianFolder, source: str | None, target: str | None, reasons: Reasons) -> LanguagePair:
    """The languages that were asked for, or those that the names of the files agree on."""
    for option, tag in (("--from", source), ("--to", target)):
        reasons.require(
            tag is None or _TAG.fullmatch(tag), f"{option} {tag!r} is not a language tag such as en or pt-BR"
        )
    if source is not None and target is not None:
        return LanguagePair(source, target)
    files = [folder.model, *(folder.vocabularies or ()), folder.shortlist]
    pairs = {pair for file in files if file is not None for pair in _pairs(file.name)}
    pairs = pairs or set(_pairs(folder.model.resolve().parent.name))
    if source is not None or target is not None:
        pairs = {(a, b) for a, b in pairs if source in (None, a) and target in (None, b)}
    if len(pairs) == 1:
        return LanguagePair(*pairs.pop())
    reasons.add("the languages are not clear from the names of the files; give both with --from and --to")
    return LanguagePair(source or "und", target or "und")


def _pairs(name: str) -> Iterator[tuple[str, str]]:
    """Language pairs that a name holds as a part of its own: `enpt`, or `en` followed by `pt`."""
    codes, words = set(_CODES.split()), set(_NOT_PAIRS.split())
    parts = re.split(r"[^a-z]+", name.lower())
    for part in parts:
        if len(part) == 4 and part not in words and {part[:2], part[2:]} <= codes:
            yield part[:2], part[2:]
    for first, second in itertools.pairwise(parts):
        if {first, second} <= codes:
            yield first, second


def _vocabularies(directory: Path, settings: Options, reasons: Reasons) -> tuple[Path, Path] | None:
    named = _names(settings, "vocabs")
    if named:
        reasons.require(len(named) == 2, f"the decoding settings name {len(named)} vocabularies, expected two")
        absent = [name for name in dict.fromkeys(named) if not (directory / name).is_file()]
        for name in absent:
            reasons.add(f"the vocabulary {name} that the decoding settings name is not in the folder")
        return None if absent or len(named) != 2 else (directory / named[0], directory / named[1])
    source = _matching(directory, SOURCE_VOCABULARIES)
    target = _matching(directory, TARGET_VOCABULARIES)
    shared = [file for file in _matching(directory, SHARED_VOCABULARIES) if file not in (*source, *target)]
    if len(source) == len(target) == 1:
        return source[0], target[0]
    if not source and not target and len(shared) == 1:
        return shared[0], shared[0]
    names = ", ".join(file.name for file in (*source, *target, *shared)) or "none"
    reasons.add(
        f"expected one vocabulary (vocab*.spm) or one for each side (srcvocab*.spm, trgvocab*.spm), found {names}"
    )
    return None


def _shortlist(directory: Path, settings: Options, reasons: Reasons) -> Path | None:
    # [file, whether to check it] or [file, first, best, threshold]
    entry = settings.get("shortlist")
    if isinstance(entry, list) and entry and isinstance(entry[0], str):
        file = directory / Path(entry[0]).name
        if file.is_file():
            return file
        reasons.add(f"the shortlist {file.name} that the decoding settings name is not in the folder")
        return None
    if settings:
        return None
    files = _matching(directory, SHORTLISTS)
    if len(files) > 1:
        reasons.add(f"expected one shortlist (lex*.bin), found {', '.join(file.name for file in files)}")
    return files[0] if len(files) == 1 else None


def _settings(file: Path, reasons: Reasons) -> Options:
    text = read_text(file, reasons)
    return {} if text is None else read_options(text, file.name, reasons)


def _names(options: Options, key: str) -> list[str]:
    entries = options.get(key)
    return [Path(entry).name for entry in entries if isinstance(entry, str)] if isinstance(entries, list) else []


def _matching(directory: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in directory.glob(pattern) if file.is_file()})


def _begins_like_a_model(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_BIN_HEAD.size)
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return f"{CONFIG_NAME}.npy" in archive.namelist()
        version, count = _BIN_HEAD.unpack(head)
    except (OSError, zipfile.BadZipFile, struct.error):
        return False
    return bool(version == 1 and 0 < count < _MANY_TENSORS)
