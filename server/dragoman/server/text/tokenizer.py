"""Text to ids and back: a bundle's vocabularies, and what its model reads around a text."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace

from dragoman.bundle.manifest import LanguagePair, Slot
from dragoman.bundle.manifest import Tokenizer as Facts
from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import StartError
from dragoman.server.core.spans import Span
from dragoman.server.text.forms import forms_of
from dragoman.server.text.lookalikes import lookalikes
from dragoman.server.text.vocabularies import Vocabulary, open_vocabulary

CHARACTERS = 32
"""What a token of a context stands for at most, on the mean: the rest of a long one is not even looked at."""
MOST_SPARE = 1024
"""Words of a network that nothing is known of: tables are filled up to a multiple, of 1,024 at most."""


class Tokenizer:
    """A bundle's source and target vocabularies. Thread-safe: they are only read."""

    def __init__(self, bundle: Bundle) -> None:
        self._facts, shape = bundle.manifest.tokenizer, bundle.manifest.architecture
        self._context = bundle.manifest.texts.context
        self.eos_id, self.unk_id = self._facts.eos_id, self._facts.unk_id
        self.forms = forms_of(bundle.manifest.forms)
        """What stands for a protected span, and what does where that did not come back."""
        self._hidden = frozenset(self._facts.hidden_ids)
        self._never = frozenset(self._facts.suppressed_ids)
        self._controls = frozenset(_control_ids(self._facts))
        self._copies, self._words = shape.copies, shape.target_vocabulary
        self._source = open_vocabulary(bundle, "source")
        self._lookalikes: dict[int, str] = {}
        self._lookalikes = lookalikes(self.reads)
        source = self._facts.source, self._facts.source_vocabulary
        target = self._facts.target, self._facts.target_vocabulary
        self._target = self._source if source == target else open_vocabulary(bundle, "target")
        _check_size(bundle, source[1] or source[0], self._source, "source", shape.source_vocabulary)
        _check_size(bundle, target[1] or target[0], self._target, "target", shape.target_vocabulary)

    def encode(self, text: str, pair: LanguagePair | None = None) -> tuple[int, ...]:
        """What the encoder reads for a text; empty where the text has nothing that the model could read.

        `pair` must be one that the bundle translates; only multilingual models need it.
        """
        ids = self._source.encode(text)
        return (*self._before(pair), *ids, *self._behind(pair)) if ids else ()

    def encode_beginning(self, text: str, pair: LanguagePair | None, most: int) -> tuple[int, ...]:
        """The same of so much of a text that it is `most` ids at most, with all that stands around a text."""
        before, behind = self._before(pair), self._behind(pair)
        ids = self._source.encode(text)[: max(0, most - len(before) - len(behind))]
        return (*before, *ids, *behind) if ids else ()

    @property
    def reads_context(self) -> bool:
        """Whether the model was trained to read what comes before a text."""
        return self._context is not None

    def encode_context(self, text: str, most: int) -> tuple[int, ...]:
        """What the model reads of what comes before a text, and between the two: `most` tokens together at most."""
        assert self._context is not None, "others are not asked to read it"
        count = min(self._context.max_tokens, most - len(self._context.separator))
        if count < 1:
            return ()
        ids = self._source.encode(self.plain(text[-CHARACTERS * count :]))[-count:]
        return (*ids, *self._context.separator) if ids else ()

    def behind(self, context: tuple[int, ...]) -> "Tokenizer":
        """A tokenizer of texts that are read behind `encode_context` of something."""
        if not context:
            return self
        made = copy(self)
        made._facts = replace(self._facts, prefix=(*self._facts.prefix, *context))
        return made

    def reads(self, text: str) -> bool:
        """Whether the source vocabulary has tokens for all of a text; a model that copies needs none."""
        ids = self._source.encode(self.plain(text))
        return bool(ids) and (self._copies or self.unk_id not in ids)

    def writes(self, text: str) -> bool:
        """Whether the target vocabulary can write a text exactly."""
        ids = self._target.encode(text)
        can_emit = self.unk_id not in ids and self._never.isdisjoint(ids)
        return self._copies or (can_emit and self.decode(ids) == text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of target ids without copies and without an end token."""
        if not self._hidden.isdisjoint(ids):
            ids = [index for index in ids if index not in self._hidden]
        return self._target.decode(ids)

    def forced(self, pair: LanguagePair | None = None) -> tuple[int, ...]:
        """What a translation must begin with."""
        first = self._facts.forced_first
        return () if first is None else tuple(self._filled((first,), pair)[:1])

    def encode_target(self, text: str) -> tuple[int, ...]:
        """Target ids of a text alone."""
        return tuple(self._target.encode(text))

    def copies(self, text: str, ids: Sequence[int], pair: LanguagePair | None = None) -> tuple[int, ...]:
        """The target word that each of `encode(text, pair)` is copied as; empty of a model that copies nothing.

        What the vocabulary lacks is, from its size upwards, the first position that holds the same.
        """
        if not self._copies:
            return ()
        copies, first = list(ids), dict[str, int]()
        for position, (index, span) in enumerate(zip(ids, self.source_spans(text, pair), strict=False)):
            if index == self.unk_id and span is not None and (name := text[span.start : span.end].strip()):
                copies[position] = self._words + first.setdefault(name, position)
        return tuple(copies)

    def encode_target_of(self, text: str, source: str, pair: LanguagePair | None = None) -> tuple[int, ...]:
        """Target ids of a text alone, in which what the vocabulary lacks is a copy of the same in its source."""
        ids = self.encode_target(text)
        if not self._copies or self.unk_id not in ids:
            return ids
        copies = self.copies(source, self.encode(source, pair), pair)
        spans = zip(copies, self.source_spans(source, pair), strict=False)
        names = {
            source[s.start : s.end].strip(): index for index, s in spans if s is not None and self.is_copied(index)
        }
        placed = zip(ids, self._target.spans(text), strict=True)
        return tuple(names.get(text[s.start : s.end].strip(), i) if i == self.unk_id else i for i, s in placed)

    def is_copied(self, target_id: int) -> bool:
        """Whether an id stands for a source position and not for a word."""
        return self._copies and target_id >= self._words

    def has_copied(self, ids: Sequence[int]) -> bool:
        """Whether some of these ids stand for source positions."""
        return self._copies and max(ids, default=0) >= self._words

    def source_position(self, target_id: int) -> int:
        """The source position that a copied id stands for."""
        return target_id - self._words

    def source_spans(
        self, text: str, pair: LanguagePair | None = None, most: int | None = None
    ) -> tuple[Span | None, ...]:
        """What each id of `encode(text, pair)`, up to the end token, stands for in the text; with `most`, each of
        `encode_beginning`.

        None for what is put before it. Where one character became several ids, all but the last have an empty span.
        """
        spans = (*[None] * len(self._before(pair)), *self._source.spans(text))
        return spans if most is None else spans[: max(0, most - len(self._behind(pair)))]

    def surfaces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What each target id adds to the text: joined, they are `decode(ids)`. A copy adds what unknown words do."""
        ids = [self.unk_id if self.is_copied(index) else index for index in ids]
        shown = iter(self._target.surfaces([index for index in ids if index not in self._hidden]))
        return tuple("" if index in self._hidden else next(shown) for index in ids)

    def is_hidden(self, target_id: int) -> bool:
        """Whether a target id is never shown."""
        return target_id in self._hidden

    def token(self, target_id: int) -> str:
        """A target id as the vocabulary writes it; in angle brackets what it has no name for.

        A copy is written `<copy:N>`, N being its source token's number.
        """
        if self.is_copied(target_id):
            return f"<copy:{self.source_position(target_id)}>"
        written = self._target.token(target_id)
        if written is not None:
            return written
        named = {self.eos_id: "/s", self.unk_id: "unk"}
        languages = {ids[0]: tag for tag, ids in self._facts.target_languages.items() if len(ids) == 1}
        return f"<{named.get(target_id) or languages.get(target_id) or target_id}>"

    def is_word(self, target_id: int) -> bool:
        """Whether a target id may stand for a part of a text, and for nothing else."""
        return target_id not in self._controls and self._target.token(target_id) is not None

    def raw_bytes(self, target_id: int) -> bytes | None:
        """The bytes that a target id stands for, which may be a part of a character; None: those of its text."""
        return self._target.raw_bytes(target_id)

    def token_id(self, token: str) -> int | None:
        """The target id of a token as the vocabulary writes it; None where it has no such token."""
        return self._target.token_id(token)

    def plain(self, text: str) -> str:
        """A text as it is read to be translated: with signs that the vocabulary has, character for character."""
        return text if text.isascii() and text.isprintable() else text.translate(self._lookalikes)

    def _before(self, pair: LanguagePair | None) -> list[int]:
        return self._filled(self._facts.prefix, pair)

    def _behind(self, pair: LanguagePair | None) -> list[int]:
        end = [self.eos_id] if self._facts.source_end else []
        return end + self._filled(self._facts.suffix, pair)

    def _filled(self, parts: Sequence[int | Slot], pair: LanguagePair | None) -> list[int]:
        return [index for part in parts for index in ((part,) if isinstance(part, int) else self._language(part, pair))]

    def _language(self, slot: Slot, pair: LanguagePair | None) -> tuple[int, ...]:
        assert pair is not None, "the pipeline resolves the pair of a model that reads its languages"
        is_source = slot == "source"
        table = self._facts.source_languages if is_source else self._facts.target_languages
        return table[pair.source if is_source else pair.target]


def _check_size(bundle: Bundle, name: str, vocabulary: Vocabulary, side: str, most: int) -> None:
    """Refuse what belongs to another network: its ids would be read from outside of the network's table, or the network
    would say words that nobody can write.
    """
    pieces = vocabulary.size
    fewest = most - MOST_SPARE - len({index for index in _control_ids(bundle.manifest.tokenizer) if index >= pieces})
    if not fewest <= pieces <= most:
        bound = f"has room for {most}" if pieces > most else f"has {most}, of which at most {MOST_SPARE} can be spare"
        raise StartError(
            f"{bundle.path(name)} has {pieces} pieces, and the network's {side} vocabulary {bound}: export the bundle "
            "again with the vocabulary that the model was trained with"
        )


def _control_ids(facts: Facts) -> Iterator[int]:
    """Ids that the manifest gives a meaning, and that a vocabulary need not list."""
    yield from (facts.eos_id, facts.unk_id, facts.start_id, *facts.hidden_ids, *facts.suppressed_ids)
    for ids in (*facts.source_languages.values(), *facts.target_languages.values()):
        yield from ids
    yield from (part for part in (*facts.prefix, *facts.suffix, facts.forced_first) if isinstance(part, int))
