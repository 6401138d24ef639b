"""What users of the client say and get."""

import dataclasses
import inspect

import pytest

import dragoman.client
from dragoman.client import types
from dragoman.client.types import FinishReason, Hypothesis, LanguagePair, Options, Translation
from dragoman.v1 import translation_pb2 as pb


def test_every_type_can_be_imported_from_the_package() -> None:
    """Whoever adds one adds it there."""
    public = {name for name, kind in vars(types).items() if inspect.isclass(kind) and kind.__module__ == types.__name__}

    assert public
    assert public <= set(dragoman.client.__all__)


def test_every_decoding_field_of_the_contract_is_an_option() -> None:
    """A field that only the wire has was forgotten here."""
    options = {field.name for field in dataclasses.fields(Options)}

    assert set(pb.DecodingOptions.DESCRIPTOR.fields_by_name) <= options


def test_values_are_frozen() -> None:
    """They can be shared and used as defaults."""
    kinds = [kind for kind in vars(types).values() if dataclasses.is_dataclass(kind)]

    assert len(kinds) > 10
    assert all(kind.__dataclass_params__.frozen for kind in kinds)  # type: ignore[union-attr]


def test_the_text_of_a_translation_is_its_best_hypothesis() -> None:
    """Which is the first."""
    assert Translation((Hypothesis("a"), Hypothesis("b")), FinishReason.STOP).text == "a"


@pytest.mark.parametrize("reason", FinishReason)
def test_only_an_end_of_its_own_is_complete(reason: FinishReason) -> None:
    """A limit, a deadline, and what this client does not know leave a doubt."""
    is_complete = reason in (FinishReason.STOP, FinishReason.EMPTY_INPUT)

    assert Translation((Hypothesis("a"),), reason).is_complete == is_complete
    assert not Translation((Hypothesis("a"),), reason, source_truncated=True).is_complete


def test_a_language_pair_is_shown_as_people_write_it() -> None:
    """With a dash."""
    assert str(LanguagePair("en", "pt-BR")) == "en-pt-BR"
