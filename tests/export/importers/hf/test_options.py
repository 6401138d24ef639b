"""Options of a configuration, or of one side of it."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.options import Options


def test_reasons_name_the_side_that_an_option_is_of():
    """All that is wrong is collected, and each reason says where."""
    reasons = Reasons()
    given = Options({"width": 0, "is_wide": 1, "epsilon": 2, "heads": 3}, reasons, "encoder.")

    assert given.whole("heads", 8) == 3
    assert (given.whole("width", 8), given.positive("epsilon", 0.1), given.activation(5)) == (1, 0.1, "relu")
    assert given.flag("is_wide", default=False) is False

    with pytest.raises(UnsupportedModel) as refused:
        reasons.raise_if_any("here")
    assert [reason.partition(" must ")[0] for reason in refused.value.reasons] == [
        "encoder.width",
        "encoder.epsilon",
        "the activation of encoder",
        "encoder.is_wide",
    ]


def test_an_option_that_is_null_is_stated_and_not_there():
    """Both matter: null may say that there is none, where an absent option has a default."""
    reasons = Reasons()
    given = Options({"cap": None}, reasons)

    assert "cap" not in given
    assert "cap" in given.stated
    assert "other" not in given.stated
    assert given.whole("cap", 8, 5) == 5
    assert len(reasons) == 0
