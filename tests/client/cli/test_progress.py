"""Progress on a terminal."""

import io

from dragoman.cli.progress import Progress, TimeLeft


def shown(times_s: list[float], *, is_shown: bool) -> str:
    """What work whose lines end at these times writes."""
    stream = io.StringIO()
    clock = iter([0.0, *times_s])
    with Progress(stream, is_shown=is_shown, clock=lambda: next(clock)) as progress:
        for _ in times_s:
            progress.advance()
    return stream.getvalue()


def test_short_work_shows_nothing() -> None:
    """What takes less than a second needs no explanation."""
    assert shown([0.2, 0.5, 0.9], is_shown=True) == ""


def test_long_work_shows_lines_and_their_rate_now_and_then() -> None:
    """Not at every line, and the line is wiped at the end."""
    text = shown([0.5, 2.0, 2.1, 4.0], is_shown=True)

    assert text.split("\r")[1:3] == ["2 lines, 1 a second", "4 lines, 1 a second"]
    assert text.endswith(f"\r{' ' * 19}\r")


def test_in_a_pipe_nothing_is_shown() -> None:
    """However long it takes."""
    assert shown([100.0, 200.0], is_shown=False) == ""


def test_time_left_is_that_of_the_rest_at_the_pace_so_far() -> None:
    """Nothing is shown in the first second, nor twice within a moment, nor before anything is done."""
    stream = io.StringIO()
    now = iter([0.0, 0.5, 2.0, 2.1, 4.0, 7200.0])
    with TimeLeft(stream, is_shown=True, clock=lambda: next(now)) as line:
        for done in (1, 0, 1, 10, 50):
            line.advance("a", done, 100)

    assert [part.strip() for part in stream.getvalue().split("\r")] == [
        "",
        "a, 1 %, 3:28 left",
        "a, 10 %, 0:36 left",
        "a, 50 %, 2:00:00 left",
        "",
        "",
    ]
