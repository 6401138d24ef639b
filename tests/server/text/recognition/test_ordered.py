"""Placeholders that take the next value of a program."""

from dragoman.server.text.recognition.ordered import takes_next

TAKING = "%s %d %5.2f %-10s %+d %ld %@ %*d %.3g %%%s %s/%s x%r {} {:>5} {!r} {!r:>5} a{}b"
NOT_TAKING = "%1$s %(a)s %% %%s %%%%d %{a} %<a>d 100% %size% {0} {a} {a:>5} {{}} {_} {a!r} $s :s"


def test_without_a_name_and_a_number_it_does() -> None:
    """Whatever stands around it."""
    assert [text for text in TAKING.split() if not takes_next(text)] == []


def test_with_either_it_does_not() -> None:
    """Nor does a sign that stands for itself."""
    assert [text for text in NOT_TAKING.split() if takes_next(text)] == []
