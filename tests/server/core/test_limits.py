"""What a request may hold at most."""

import pytest

from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.limits import check_number


def test_more_texts_than_the_limit_are_refused_with_the_way_out() -> None:
    """The limit itself is taken."""
    check_number(8, 8)
    with pytest.raises(InvalidRequest, match=r"^pairs: 9 texts, the limit is 8 \(--max-texts\): send them in several"):
        check_number(9, 8, "pairs")
