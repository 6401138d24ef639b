"""Puts words into the mouth of a server over the stand-in, where no kernel is run: else its memory would speak."""

from dataclasses import replace
from typing import Any

import numpy as np

from dragoman.server.batches.output_words import Words

FIRST = 7
"""The best word of every row; those behind it are the next numbers."""
answer, best = Words.answer, Words.best


def _said(shape: tuple[int, ...]) -> tuple[Any, Any]:
    ranks = np.arange(shape[-1])
    logp, ids = (np.broadcast_to(one, shape).copy() for one in (-1 - ranks.astype(np.float32), FIRST + ranks))
    return logp, ids


def say(self: Words, query: Any, feed: Any) -> Any:
    """Of a step."""
    reply, new = answer(self, query, feed)
    logp, ids = _said(reply.ids.shape)
    return replace(reply, logp=logp, ids=ids, broken={}), new


def say_best(self: Words, *given: Any) -> tuple[Any, Any]:
    """Of a pass over canvases."""
    _, ids = best(self, *given)
    return _said(ids.shape)


Words.answer, Words.best = say, say_best  # type: ignore[method-assign]
