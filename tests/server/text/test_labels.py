"""Labels of a request as tokens."""

from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.requests import Request
from dragoman.server.decode.strategies.labels import Labels
from dragoman.server.text.labels import LONGEST_PREFIX, label_tree, said_whole
from dragoman.server.text.tokenizer import Tokenizer


def tree_of(tokenizer: Tokenizer, *labels: str, most_tokens: int = 64, prefixes: tuple[str, ...] = (), **how: Any):
    return label_tree(Request(("a",), method=Labels(labels, **how), prefixes=prefixes), tokenizer, most_tokens)


def test_labels_are_what_the_model_writes_for_them(tokenizer: Tokenizer) -> None:
    """Between two of them stands what it writes there."""
    tree = tree_of(tokenizer, "the dog", "the fox", most=2)

    assert tree is not None
    assert tree.labels == (tokenizer.encode_target("the dog"), tokenizer.encode_target("the fox"))
    joined = (*tree.labels[1], *tree.separator, *tree.labels[0])
    assert tokenizer.decode(joined).replace(" ,", ",") == "the fox, the dog"
    assert tree.eos_id == tokenizer.eos_id
    assert label_tree(Request(("a",)), tokenizer, 64) is None


def test_the_longest_translation_has_room(tokenizer: Tokenizer) -> None:
    """Whatever the source's length and the model's defaults are."""
    tree = tree_of(tokenizer, "the lazy dog", "the fox", most=2)
    assert tree is not None

    decoding = said_whole(Decoding(max_length=3, max_length_factor=0.1, min_length=9), tree)

    assert decoding.max_length == tree.longest + LONGEST_PREFIX
    assert (decoding.max_length_factor >= tree.longest, decoding.min_length) == (True, 0)


@pytest.mark.parametrize(
    ("labels", "how", "field"),
    [
        (("the dog", ""), {}, "decoding.choice.labels"),
        (("the dog", "the fox"), {"most_tokens": 9}, "decoding.choice.labels"),
        (("the dog",), {"prefixes": ("O",)}, "texts.target_prefix"),
    ],
)
def test_what_cannot_be_said_is_refused(tokenizer: Tokenizer, labels: tuple[str, ...], how: Any, field: str) -> None:
    """By the field at fault."""
    with pytest.raises(InvalidRequest) as caught:
        tree_of(tokenizer, *labels, **how)

    assert caught.value.violations[0].field == field
