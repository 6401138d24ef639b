"""A request while it is worked on."""

from dragoman.server.core.errors import Cancelled, EngineFailure
from dragoman.server.core.segments import Decoded
from dragoman.server.core.strategies import Engine
from dragoman.server.pipeline.job import decoded_of

DECODED = Decoded((), Engine.GREEDY, 1)


def test_a_text_is_decoded_where_all_of_its_segments_are() -> None:
    """In their order."""
    other = Decoded((), Engine.BEAM, 2)

    assert decoded_of([DECODED, other]) == [DECODED, other]
    assert decoded_of([]) == []


def test_the_first_error_of_its_segments_is_the_texts() -> None:
    """What is no error of the server's own is a failure of the engine, which has it as its cause."""
    cancelled, defect = Cancelled(), ValueError("odd")

    assert decoded_of([DECODED, cancelled, defect]) is cancelled
    failure = decoded_of([DECODED, defect])
    assert isinstance(failure, EngineFailure)
    assert failure.__cause__ is defect
