"""The formats of checkpoints: how each is recognised and read, and which of them a source is in.

A format is a folder beside this file. Recognising needs neither torch nor the other libraries that reading does, so a
wrong path is told at once; readers are imported when one is called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.importers.bundle import folder as bundle_folder
from dragoman.export.importers.ctranslate2 import folder as ctranslate2_folder
from dragoman.export.importers.fairseq import folder as fairseq_folder
from dragoman.export.importers.files.word_tables import Cut
from dragoman.export.importers.hf import folder as hf_folder
from dragoman.export.importers.letters import folder as letters_folder
from dragoman.export.importers.marian import folder as marian_folder
from dragoman.export.importers.opennmt import folder as opennmt_folder
from dragoman.export.importers.plain import folder as plain_folder

Reader = Callable[[Path, str | None, str | None], Checkpoint]
TaskReader = Callable[[Path, str | None, str | None, str], tuple[Checkpoint, str]]
WordsReader = Callable[[Path, str | None, str | None, Cut | None], Checkpoint]


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint."""

    recognises: Callable[[Path], str | None]
    """What is at a path, in words, if it is of this kind."""
    read: Reader
    """Reads what is at a path; source and target language where the names of files do not tell them."""
    looks_for: str
    """What there must be, for those whose path is not recognised."""
    read_words: WordsReader | None = None
    """The same reader, where the format has dictionaries: it is told how texts become their words."""
    read_task: TaskReader | None = None
    """The same reader for a task, and the task's prompt, where the format knows of tasks."""


def _of_dictionaries(recognises: Callable[[Path], str | None], read: WordsReader, looks_for: str) -> Format:
    """A format that has dictionaries."""
    return Format(recognises, lambda path, source, target: read(path, source, target, None), looks_for, read)


def _read_bundle(source: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    from dragoman.export.importers.bundle.importer import read_bundle

    return read_bundle(source, source_language, target_language)


def _read_ctranslate2(
    source: Path, source_language: str | None, target_language: str | None, words: Cut | None
) -> Checkpoint:
    from dragoman.export.importers.ctranslate2.importer import read_ctranslate2

    return read_ctranslate2(source, source_language, target_language, words)


def _read_fairseq(
    source: Path, source_language: str | None, target_language: str | None, words: Cut | None
) -> Checkpoint:
    from dragoman.export.importers.fairseq.importer import read_fairseq

    return read_fairseq(source, source_language, target_language, words)


def _read_hf(source: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    from dragoman.export.importers.hf.importer import read_hf

    return read_hf(source, source_language, target_language)


def _read_hf_task(
    source: Path, source_language: str | None, target_language: str | None, task: str
) -> tuple[Checkpoint, str]:
    from dragoman.export.importers.hf.importer import read_hf, read_task

    settings = read_task(source, task)
    return read_hf(source, source_language, target_language, settings), settings.prompt


def _read_letters(source: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    from dragoman.export.importers.letters.importer import read_letters

    return read_letters(source, source_language, target_language)


def _read_marian(
    source: Path, source_language: str | None, target_language: str | None, words: Cut | None
) -> Checkpoint:
    from dragoman.export.importers.marian.importer import read_marian

    return read_marian(source, source_language, target_language, words)


def _read_opennmt(
    source: Path, source_language: str | None, target_language: str | None, words: Cut | None
) -> Checkpoint:
    from dragoman.export.importers.opennmt.importer import read_opennmt

    return read_opennmt(source, source_language, target_language, words)


def _read_plain(source: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    from dragoman.export.importers.plain.importer import read_plain

    return read_plain(source, source_language, target_language)


FORMATS = {
    "bundle": Format(bundle_folder.recognises, _read_bundle, "a bundle: a folder with manifest.json and graphs"),
    "ctranslate2": _of_dictionaries(
        ctranslate2_folder.recognises,
        _read_ctranslate2,
        "a folder with model.bin of a Transformer, its vocabularies and SentencePiece model",
    ),
    "fairseq": _of_dictionaries(
        fairseq_folder.recognises,
        _read_fairseq,
        "a .pt file, or a folder with one, and the dict.xx.txt of its languages",
    ),
    "hf": Format(
        hf_folder.recognises, _read_hf, "a folder with config.json that has a model_type", read_task=_read_hf_task
    ),
    "letters": Format(
        letters_folder.recognises, _read_letters, "g2p-en's checkpoint*.npz, or e2k's model-*.safetensors"
    ),
    "marian": _of_dictionaries(
        marian_folder.recognises, _read_marian, "model*.npz or model*.bin that begins as Marian's and Firefox's do"
    ),
    "opennmt": _of_dictionaries(
        opennmt_folder.recognises,
        _read_opennmt,
        "a .pt file of OpenNMT-py 3, or a folder with one, and the SentencePiece model of its words",
    ),
    "plain": Format(plain_folder.recognises, _read_plain, f"a folder with {plain_folder.DESCRIPTION}"),
}


def read(
    source: Path, form: str, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read a checkpoint of the format `form`, or of the only one that recognises it where that is `auto`. `words` says
    how texts become words of dictionaries that have no subwords.
    """
    form = _form(source, form)
    chosen = FORMATS[form]
    if words is None:
        return chosen.read(source, source_language, target_language)
    if chosen.read_words is None:
        those = ", ".join(name for name, each in FORMATS.items() if each.read_words is not None)
        raise ExportError(f"{source} is {form}: --words is for dictionaries, which {those} have")
    return chosen.read_words(source, source_language, target_language, words)


def read_for(
    source: Path,
    form: str,
    source_language: str | None,
    target_language: str | None,
    task: str,
    words: Cut | None = None,
) -> tuple[Checkpoint, str]:
    """The same for a task other than translation, and the prompt that the source has for it."""
    form = _form(source, form)
    reader = FORMATS[form].read_task
    if reader is None or words is not None:
        return read(source, form, source_language, target_language, words), ""
    return reader(source, source_language, target_language, task)


def _form(source: Path, form: str) -> str:
    """The format `form`, or the only one that recognises a source where that is `auto`."""
    if not source.exists():
        raise ExportError(f"{source}: no such file or folder")
    if form != "auto":
        return form
    seen = {name: what for name, each in FORMATS.items() if (what := each.recognises(source)) is not None}
    if len(seen) != 1:
        raise _unclear(source, seen)
    (form,) = seen
    return form


def _unclear(source: Path, seen: dict[str, str]) -> ExportError:
    """Several formats recognise it, or none."""
    if seen:
        several = " and ".join(f"{what} (--format {name})" for name, what in seen.items())
        return ExportError(f"{source} holds {several}: say which with --format")
    wanted = "".join(f"\n  - {name} looks for {each.looks_for}" for name, each in FORMATS.items())
    return ExportError(f"{source}: not recognised; if it is one of these, say so with --format:{wanted}")
