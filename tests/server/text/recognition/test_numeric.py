"""Placeholders that stand for numbers."""

import pytest

from dragoman.server.text.recognition.numeric import takes_number

NUMBERS = """
%d %i %5.2f %-10d %03d %1$d %ld %(x)d %d%% %dpx %dMB %.1fs
{0:d} {:.2f} {size:,d} {x:>8.1f} {p:.0%} {n,number} {share,number,percent}
{count} %(count)s ${count} {{count}} {{count|intcomma}} %{count} :count %count% #{count} $count [count] [[total]]
{num_items} {itemCount} {maxLength} {MAX_LENGTH} %(limit_value)s {total_pages} {user.age} {HTMLCount}
"""
NO_NUMBERS = """
%s %@ {} {0} %1$s %(name)s %Y-%m-%d %date% %dir {d} 100% % { {}} {count :1 [1] count N1 %(count) {count}s {\u00e9count}
{account} {discount_code} {amounts_due} {max_date} {number_type} {total_name} {country} {A} {user|count} %d/%d
{date:%Y-%m-%d} {name:>8} {n,plural,one{#}other{#}}
"""


@pytest.mark.parametrize("placeholder", [*NUMBERS.split(), "{{ count }}", "{n, number}"])
def test_a_number_is_recognised_by_its_conversion_or_by_its_name(placeholder: str) -> None:
    """In all ways in which placeholders are written."""
    assert takes_number(placeholder)


@pytest.mark.parametrize("placeholder", [*NO_NUMBERS.split(), "", "{n, plural, one {# day} other {# days}}", "{%d}"])
def test_what_may_be_a_word_is_no_number(placeholder: str) -> None:
    """Nor is what holds more than one placeholder."""
    assert not takes_number(placeholder)


def test_what_is_long_is_not_read() -> None:
    """A span may be as long as its text."""
    for placeholder in ("{" + "A" * 1_000_000 + "a}", "{" * 1_000_000, "%" + "1" * 1_000_000 + "d"):
        assert not takes_number(placeholder)
