"""Labels of a request as tokens."""

from dataclasses import replace

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import InvalidRequest, quoted
from dragoman.server.core.label_tree import Ids, LabelTree
from dragoman.server.core.requests import Request
from dragoman.server.text.tokenizer import Tokenizer

LONGEST_PREFIX = 8
"""Tokens before a label: of a language."""


def label_tree(request: Request, tokenizer: Tokenizer, most_tokens: int) -> LabelTree | None:
    """The tree of a request's labels; None of one that names none. Raises what is wrong with them."""
    labels: tuple[str, ...] = getattr(request.method, "labels", ())
    if not labels:
        return None
    if request.prefixes:
        raise InvalidRequest("texts.target_prefix", "set, and decoding.choice says all of a translation: unset one")
    ids = [_ids(label, tokenizer) for label in labels]
    alike = next((label for n, label in enumerate(labels) if ids.index(ids[n]) < n), None)
    if alike is not None:
        raise InvalidRequest("decoding.choice.labels", f"{quoted(alike)} is the same to the model as one before it")
    most: int = getattr(request.method, "most", 1)
    separator = _separator(getattr(request.method, "separator", ""), labels, ids, tokenizer) if most > 1 else ()
    tree = LabelTree(tuple(ids), separator, most, tokenizer.eos_id)
    if tree.longest + LONGEST_PREFIX > most_tokens:
        limit = f"{tree.longest} tokens in all, the model writes at most {most_tokens - LONGEST_PREFIX} here"
        raise InvalidRequest("decoding.choice.labels", f"{limit}: name shorter labels, or fewer (most)")
    return tree


def said_freely(decoding: Decoding, *, is_short: bool) -> Decoding:
    """Settings for translations whose length has nothing to do with the source's, but where a factor says so."""
    factor = decoding.max_length_factor if is_short else float(decoding.max_length)
    return replace(decoding, max_length_factor=factor, min_length=0)


def said_whole(decoding: Decoding, labels: LabelTree) -> Decoding:
    """Settings under which the longest of the translations has room."""
    longest = labels.longest + LONGEST_PREFIX
    return replace(decoding, max_length=longest, max_length_factor=float(longest), min_length=0)


def _ids(label: str, tokenizer: Tokenizer) -> Ids:
    ids = tokenizer.encode_target(label)
    if not ids or not tokenizer.writes(label):
        raise InvalidRequest("decoding.choice.labels", f"the model cannot write {quoted(label)}")
    return ids


def _separator(text: str, labels: tuple[str, ...], ids: list[Ids], tokenizer: Tokenizer) -> Ids:
    """The tokens between two labels, as the model writes them; or else those of the separator alone."""
    first, second = ids[0], ids[1]
    joined = tokenizer.encode_target(f"{labels[0]}{text}{labels[1]}")
    between = joined[len(first) : len(joined) - len(second)]
    if between and joined == (*first, *between, *second):
        return between
    alone = tokenizer.encode_target(text)
    if not alone or tokenizer.unk_id in alone:
        raise InvalidRequest("decoding.choice.separator", f"the model cannot write {quoted(text)}")
    return alone
