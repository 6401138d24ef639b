"""What a family's model reads around a text, and which languages it is told."""

import re
from dataclasses import dataclass, field, replace

from dragoman.bundle.directions import ANY
from dragoman.bundle.manifest import LanguagePair, Slot
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.language_tags import tag_of, tags_of
from dragoman.export.importers.hf.directory import Directory
from dragoman.export.importers.hf.families import languages
from dragoman.export.importers.hf.vocabulary import Vocabulary

Ids = tuple[int, ...]
AROUND = dict.fromkeys(("roberta", "xlm-roberta", "camembert"), ("<s>", "</s>")) | {"bert": ("[CLS]", "[SEP]")}
"""What encoders of pairs read before and after a text, where their tokenizers do not name it."""


@dataclass(frozen=True)
class Frame:
    """What a family's model reads around a text, and the languages that it has tokens for."""

    prefix: tuple[int | Slot, ...] = ()
    suffix: tuple[int | Slot, ...] = ()
    forced_first: int | Slot | None = None
    sources: dict[str, Ids] = field(default_factory=dict)
    targets: dict[str, Ids] = field(default_factory=dict)
    pairs: tuple[LanguagePair, ...] = ()
    source_end: bool = True
    """Whether the end token stands behind a text; what stands there else is in the suffix."""
    notes: tuple[str, ...] = ()


def read_frame(
    family: str, directory: Directory, vocabulary: Vocabulary, source: str | None, target: str | None
) -> Frame:
    """The frame of a family's model, for all of its languages or only for those that are asked for."""
    tokens = languages(family, vocabulary.source.ids)
    notes: tuple[str, ...] = ()
    tags: dict[str, Ids] = {tag: (tokens[code][1],) for tag, code in tags_of(tokens).items()}
    match family:
        case "m2m100" | "nllb" | "mbart50":
            at_end = family == "nllb" and directory.settings.get("legacy_behaviour") is True
            targets = _forced_only(directory, tags)
            frame = Frame(() if at_end else ("source",), ("source",) if at_end else (), "target", tags, targets)
            return _restricted(frame, source, target, directory.reasons)
        case "plbart":
            return _plbart_frame(directory, tokens, source, target)
        case "mbart":
            return _mbart_frame(directory, tags, source, target)
        case "marian" | "t5" if tags:
            # The model is not told the source. T5 with such tokens (MADLAD) reads all of its languages.
            language = source or tag_of(str(directory.settings.get("source_lang") or "")) or ANY
            sources: dict[str, Ids] = dict.fromkeys(tags if family == "t5" else [language], ())
            frame = Frame(prefix=("target",), sources=sources, targets=tags)
            return _restricted(frame, source, target, directory.reasons)
        case "t5" if tasks := _tasks(directory):
            if any(source in (None, first) and target in (None, second) for first, second in tasks):
                return _task_frame(tasks, vocabulary, source, target, directory.reasons)
            # A model that was trained further keeps the settings of the one that it began as.
            notes = ("config.json has prompts for other languages only: none is put before a text",)
    begin = directory.number("bos_token_id") if family in ("bart", "t5gemma") else None
    is_gemma = family == "t5gemma"
    if is_gemma and directory.settings.get("add_bos_token") is False:
        begin = None
    pair = _only_pair(directory, source, target)
    if family in AROUND:
        return _pair_frame(directory, vocabulary, AROUND[family], () if pair is None else (pair,))
    return Frame(
        prefix=() if begin is None else (begin,),
        forced_first=directory.number("forced_bos_token_id"),
        pairs=() if pair is None else (pair,),
        source_end=not is_gemma or directory.settings.get("add_eos_token") is True,
        notes=notes,
    )


def _pair_frame(
    directory: Directory, vocabulary: Vocabulary, usual: tuple[str, str], pairs: tuple[LanguagePair, ...]
) -> Frame:
    """BERT-like encoders read a first token, the text, and a separator, which may be the decoder's end or not."""
    names = [directory.token(name, other) for name, other in zip(("cls_token", "sep_token"), usual, strict=True)]
    for name in names:
        directory.reasons.require(name in vocabulary.source.ids, f"the tokenizer has no {short(name)}")
    if not all(name in vocabulary.source.ids for name in names):
        return Frame()
    first, last = (vocabulary.source.ids[name] for name in names)
    is_end = last == directory.number("eos_token_id")
    forced = directory.number("forced_bos_token_id")
    return Frame((first,), () if is_end else (last,), forced, pairs=pairs, source_end=is_end)


def _forced_only(directory: Directory, tags: dict[str, Ids]) -> dict[str, Ids]:
    """The target languages: one where the settings force it upon every translation, else all."""
    forced = directory.number("forced_bos_token_id")
    return {tag: ids for tag, ids in tags.items() if ids == (forced,)} or tags


def _mbart_frame(directory: Directory, tags: dict[str, Ids], source: str | None, target: str | None) -> Frame:
    """mBART reads the source language after the text, and its decoder starts with the target language."""
    start = directory.number("decoder_start_token_id")
    starts = [tag for tag, ids in tags.items() if ids == (start,)]
    if not starts:
        directory.reasons.add(f"decoder_start_token_id must be the target language's token, it is {start}")
        return Frame()
    said = tags.get(tag_of(str(directory.settings.get("src_lang") or "")) or "")
    wanted = source or min((tag for tag, ids in tags.items() if ids == said), key=len, default=None)
    if wanted not in tags:
        directory.reasons.add(
            f"name the language of the texts with --from, one of {', '.join(sorted(tags))}"
            + (f"; {wanted} is none of them" if wanted else "")
        )
        return Frame()
    if target is not None and target not in starts:
        directory.reasons.add(f"the model translates into {starts[0]} (decoder_start_token_id), not into {target}")
    return Frame(suffix=tags[wanted], pairs=(LanguagePair(wanted, target or min(starts, key=len)),))


def _plbart_frame(
    directory: Directory, tokens: dict[str, tuple[str, int]], source: str | None, target: str | None
) -> Frame:
    """PLBART reads the source language after the text; its decoder starts with the target's, or must say it first.

    Programming languages have no tag: they are private ones, `x-java`.
    """
    tags: dict[str, Ids] = {tag_of(c) or c if "_" in c else f"x-{c}": (index,) for c, (_, index) in tokens.items()}
    start = (directory.number("decoder_start_token_id"),)
    started: dict[str, Ids] = {tag: ids for tag, ids in tags.items() if ids == start}
    forced: Slot | None = None if started else "target"
    said = str(directory.settings.get("src_lang") or "").strip("_")
    asked = source or next((tag for tag, ids in tags.items() if said in tokens and ids == (tokens[said][1],)), None)
    frame = Frame((), ("source",), forced, tags, started or _forced_only(directory, tags))
    return _restricted(frame, asked, target, directory.reasons)


def _tasks(directory: Directory) -> dict[tuple[str, str], str]:
    """T5's own prompts for translation, by pair."""
    tasks = directory.config.get("task_specific_params") or {}
    tasks = {name: task for name, task in tasks.items() if isinstance(task, dict)} if isinstance(tasks, dict) else {}
    named = ((re.fullmatch(r"translation_(\w+)_to_(\w+)", name), task) for name, task in tasks.items())
    return {(match[1], match[2]): str(task.get("prefix", "")) for match, task in named if match and task.get("prefix")}


def _task_frame(
    tasks: dict[tuple[str, str], str], vocabulary: Vocabulary, source: str | None, target: str | None, reasons: Reasons
) -> Frame:
    sources = {source for source, _ in tasks}
    if len(sources) > 1:
        reasons.add(f"task_specific_params has prompts for several source languages: {', '.join(sorted(sources))}")
        return Frame()
    assert vocabulary.encode is not None, "T5's vocabularies have it"
    probe = "Hello, world!"
    targets: dict[str, Ids] = {}
    for (_, other), prompt in tasks.items():
        ids = vocabulary.encode(prompt.rstrip())
        if [*ids, *vocabulary.encode(probe)] != vocabulary.encode(prompt + probe):
            reasons.add(f"the prompt {short(prompt)} cannot be put before a text as ids of its own")
        targets[other] = tuple(ids)
    frame = Frame(prefix=("target",), sources=dict.fromkeys(sources, ()), targets=targets)
    return _restricted(frame, source, target, reasons)


def _restricted(frame: Frame, source: str | None, target: str | None, reasons: Reasons) -> Frame:
    """Only the languages that the user wants the bundle to have."""
    for tag, table, flag in ((source, frame.sources, "--from"), (target, frame.targets, "--to")):
        if tag is not None and tag not in table:
            reasons.add(f"{flag} {tag}: the model has no such language, it has {', '.join(sorted(table))}")
    if len(reasons):
        return frame
    if source is not None:
        frame = replace(frame, sources={source: frame.sources[source]})
    return frame if target is None else replace(frame, targets={target: frame.targets[target]})


def _only_pair(directory: Directory, source: str | None, target: str | None) -> LanguagePair | None:
    """The languages of a model for one pair: as asked, as its tokenizer says, or as its folder is called."""
    ending = re.search(r"-([a-z]{2,3})-([a-z]{2,3})$", directory.path.resolve().name)
    told = [str(directory.settings.get(f"{side}_lang") or "") for side in ("source", "target")]
    both = directory.settings.get("langs") or directory.config.get("langs")  # FSMT
    told = [str(language) for language in both] if isinstance(both, list) and len(both) == 2 else told
    guesses = told if all(told) else list(ending.groups()) if ending else ["", ""]
    source, target = source or tag_of(guesses[0]), target or tag_of(guesses[1])
    if source is None or target is None:
        missing = " and ".join(flag for flag, tag in (("--from", source), ("--to", target)) if tag is None)
        directory.reasons.add(f"the directory does not say its languages: name them with {missing}")
        return None
    return LanguagePair(source, target)
