"""Messages and values meet by their names."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal, NamedTuple

import pytest

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import kinds, members, numbers, read, write


class Priority(Enum):
    """Fewer values than the wire has."""

    NORMAL = 1
    BATCH = 2


class Engine(Enum):
    """With a member for what only a newer wire knows."""

    BEAM = "beam"
    UNKNOWN = "unknown"


class Range(NamedTuple):
    """A span."""

    start: int
    end: int


@dataclass(frozen=True)
class Lossy:
    """Without defaults."""

    top: int
    margin: float


@dataclass(frozen=True)
class Speculation:
    """With a value of a value."""

    draft_tokens: int | None = None
    lossy: Lossy | None = None


@dataclass(frozen=True)
class Decoding:
    """With words for an enum."""

    beam_size: int | None = None
    early_stopping: Literal["first", "heuristic"] | None = None
    suppressed_tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """With what no message has, and what belongs to the class."""

    model: ClassVar[str] = "none"
    deadline_s: float = 1.0
    priority: Priority = Priority.NORMAL
    speculation: Speculation = Speculation()


@dataclass(frozen=True)
class Pair:
    """A text and its translation."""

    source: str
    target: str


@dataclass(frozen=True)
class Score:
    """With several values."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Link:
    """A property beside the fields."""

    source: Range
    target: Range

    @property
    def weight(self) -> float:
        """A number."""
        return 0.5


def test_what_a_message_sets_is_read_and_nothing_else() -> None:
    """Zero and false are values; what is not set has the value's own default."""
    assert read(Decoding, pb.DecodingOptions()) == Decoding()
    assert read(Decoding, pb.DecodingOptions(beam_size=0, num_hypotheses=3)) == Decoding(beam_size=0)
    assert read(Decoding, pb.DecodingOptions(suppressed_tokens=["a", "b"])) == Decoding(suppressed_tokens=("a", "b"))


def test_messages_of_messages_are_values_of_values() -> None:
    """A part that is not set is the default, one that is set and empty is not."""
    message = pb.TranslateRequest(priority=pb.PRIORITY_BATCH, speculation={"draft_tokens": 3, "lossy": {"top": 2}})

    assert read(Request, message) == Request(priority=Priority.BATCH, speculation=Speculation(3, Lossy(2, 0.0)))
    assert read(Request, pb.TranslateRequest(speculation={"lossy": {}})).speculation.lossy == Lossy(0, 0.0)
    assert read(Request, pb.TranslateRequest()) == Request()


def test_messages_of_a_list_are_a_tuple_of_values() -> None:
    """In their order; without a default of its own, a list that is not set is empty."""
    message = pb.ScoreRequest(pairs=[{"source": "a", "target": "b"}, {}])

    assert read(Score, message) == Score((Pair("a", "b"), Pair("", "")))
    assert read(Score, pb.ScoreRequest()) == Score(())


def test_what_is_given_goes_before_what_is_set() -> None:
    """Also where the message could not be read as the value wants it."""
    message = pb.TranslateRequest(priority=pb.PRIORITY_INTERACTIVE)

    assert read(Request, message, priority=Priority.BATCH, deadline_s=2.0) == Request(2.0, Priority.BATCH)


def test_an_enum_is_the_member_or_the_word_that_its_name_ends_in() -> None:
    """Values that the other side lacks are in neither map."""
    assert numbers(pb.Priority.DESCRIPTOR) == {"UNSPECIFIED": 0, "INTERACTIVE": 1, "NORMAL": 2, "BATCH": 3}
    assert members(Priority, pb.Priority.DESCRIPTOR) == {2: Priority.NORMAL, 3: Priority.BATCH}
    words = kinds(Decoding)["early_stopping"]
    assert members(words, pb.EarlyStopping.DESCRIPTOR) == {1: "first", 2: "heuristic"}
    assert read(Decoding, pb.DecodingOptions(early_stopping=pb.EARLY_STOPPING_FIRST)).early_stopping == "first"


def test_a_number_of_a_newer_contract_is_unknown_or_an_error() -> None:
    """Never another member."""

    @dataclass(frozen=True)
    class Result:
        engine: Engine

    assert read(Result, pb.TextResult.FromString(b"\x48\x63")) == Result(Engine.UNKNOWN)  # field 9, 99
    assert read(Result, pb.TextResult()) == Result(Engine.UNKNOWN)
    with pytest.raises(KeyError):
        read(Request, pb.TranslateRequest(priority=pb.PRIORITY_INTERACTIVE))


def test_what_belongs_to_the_class_is_no_field() -> None:
    """Whatever a message has under its name."""
    assert kinds(Request).keys() == {"deadline_s", "priority", "speculation"}
    assert read(Request, pb.TranslateRequest(model="m")).model == "none"


def test_a_message_is_written_of_what_values_have() -> None:
    """Words, members, properties, and values of any kind that have the names; None is not set."""
    assert write(pb.DecodingOptions, Decoding(early_stopping="heuristic")) == pb.DecodingOptions(
        early_stopping=pb.EARLY_STOPPING_HEURISTIC
    )
    assert write(pb.TranslateRequest, Request(priority=Priority.BATCH)).priority == pb.PRIORITY_BATCH
    assert write(pb.Alignment, Link(Range(1, 2), Range(3, 4))) == pb.Alignment(
        source={"start": 1, "end": 2}, target={"start": 3, "end": 4}, weight=0.5
    )
    assert write(pb.ScoreRequest, Score((Pair("a", "b"),))) == pb.ScoreRequest(pairs=[{"source": "a", "target": "b"}])


def test_a_message_is_written_of_several_values() -> None:
    """Later ones go before, and what is given before all."""
    first, second = Decoding(beam_size=1, suppressed_tokens=("a",)), Speculation()

    assert write(pb.DecodingOptions, first, second, max_length=3) == pb.DecodingOptions(
        beam_size=1, suppressed_tokens=["a"], max_length=3
    )
    assert write(pb.DecodingOptions, first, beam_size=None).HasField("beam_size") is False


def test_what_was_written_is_read_as_it_was() -> None:
    """Back and forth, nothing is lost."""
    decoding = Decoding(0, "first", ("a", "b"))

    assert read(Decoding, write(pb.DecodingOptions, decoding)) == decoding
