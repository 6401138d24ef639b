"""What a request costs, in source tokens of a default request: estimated from bytes, then counted by the tokenizer."""

from collections.abc import Callable, Generator, Iterator, Sequence

from dragoman.server.core.changing import changed
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.requests import Request
from dragoman.server.core.segments import LIGHT_COST, Decoded, Segment, is_light
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.text.preparing import PreparedText

BYTES_PER_TOKEN = 4
"""How many bytes of UTF-8 a token is taken for in the estimate; subword vocabularies measure between three and five."""


def estimate(
    request: Request, texts: Sequence[str | InvalidRequest], template: Segment, *, default_width: int, most_tokens: int
) -> int:
    """What the texts of a request are likely to cost; those that are refused cost nothing.

    Of a text and its prefix, or its given translation, the longer one counts. `most_tokens` is what a segment has.
    """
    costs: dict[int, int] = {}
    total = 0
    for text, beside in zip(texts, request.prefixes or request.targets or request.texts, strict=True):
        if isinstance(text, InvalidRequest):
            continue
        tokens = max(tokens_of(text), tokens_of(beside))
        part = min(tokens, most_tokens)
        if part not in costs:
            costs[part] = changed(template, ids=(0,) * part).cost(default_width)
        total += costs[part] * tokens // part
    return total


def segmented(
    prepared: Sequence[PreparedText | InvalidRequest],
    template: Segment,
    *,
    default_width: int,
    recall: Callable[[Segment], Decoded | None] = lambda _: None,
    attention: bool = False,
) -> Generator[None, None, tuple[list[list[Segment | Decoded]], list[int]]]:
    """What is decoded of each text and what that costs, light or bulk by the cost of all. Yields after each segment.

    What is recalled of a segment stands in its place, and costs nothing. Segments with terms, or in whose translations
    something is placed, carry `attention`, where the model has it. Those with terms count twice: most of them are
    decoded again.
    """
    tokens = sum(text.source_tokens for text in prepared if isinstance(text, PreparedText))
    if tokens > LIGHT_COST:  # a segment costs its tokens at least
        template = changed(template, bulk=True)
    texts: list[list[Segment | Decoded]] = []
    costs: list[int] = []
    for text in prepared:
        segments: list[Segment | Decoded] = []
        cost = 0
        for segment, has_terms, is_placed in _segments(text, template):
            asked = changed(segment, attention=True) if attention and (has_terms or is_placed) else segment
            recalled = recall(asked)
            segments.append(recalled or asked)
            cost += 0 if recalled else segment.cost(default_width) * (1 + has_terms)
            yield
        texts.append(segments)
        costs.append(cost)
    if not template.bulk and not is_light(costs):
        texts = [[changed(each, bulk=True) if isinstance(each, Segment) else each for each in text] for text in texts]
    return texts, costs


def tokens_of(text: str) -> int:
    """How many tokens a text is likely to have."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) // BYTES_PER_TOKEN + 1


def _segments(text: PreparedText | InvalidRequest, template: Segment) -> Iterator[tuple[Segment, bool, bool]]:
    """What is decoded of a text, and whether it has terms whose translation the model may say, and whether
    something is placed in it.
    """
    if isinstance(text, InvalidRequest):
        return
    if text.target is not None:
        template = changed(template, strategy=Forced(text.target.ids))
    for index, (ids, copies) in enumerate(zip(text.ids, text.copies, strict=True)):
        if ids:
            has_terms = index in text.shown and bool(text.shown[index].said)
            yield changed(template, ids=ids, prefix=text.prefix, copies=copies), has_terms, text.is_placed(index)
