"""Sources of several lengths side by side; the importers' tests compare the steps themselves with other libraries."""

from __future__ import annotations

import numpy as np

from dragoman.export.proof.stepping import padded


def test_sources_are_padded_on_the_right_and_masked_there():
    """The longest has no padding at all."""
    ids, mask = padded([[5, 6, 2], [7, 2]], pad=1)

    assert ids.tolist() == [[5, 6, 2], [7, 2, 1]]
    assert (mask == 0).reshape(2, 3).tolist() == [[True, True, True], [True, True, False]]
    assert np.exp(mask.min()) == 0
