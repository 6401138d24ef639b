"""What a bundle's decoders can do."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Manifest, Nat
from dragoman.bundle.reader import Bundle
from dragoman.server.core.strategies import DraftSource
from dragoman.server.planning.capabilities import can_verify, draft_sources, nat_decoders, offered, searches

MASKED = Nat("mask-predict", 1, 64, mask_id=400, last_id=0, length_classes=16, block=8, passes=4, length_candidates=2)
CTC = Nat("ctc", 1, 64, canvas="split", upsample=2, blank_id=400)


@pytest.fixture
def manifest(bundle: Bundle) -> Manifest:
    """Self-attention, and no other decoder."""
    return bundle.manifest


def test_the_first_decoder_is_the_default_whatever_their_order_in_the_manifest(manifest: Manifest) -> None:
    """A request that names none gets it."""
    assert nat_decoders(replace(manifest, nat={"ctc": CTC, "mask-predict": MASKED})) == ["mask-predict", "ctc"]


def test_a_recurrent_decoder_searches_and_verifies_nothing(manifest: Manifest) -> None:
    """It reads one word at a time, so that nothing can be drafted for it."""
    recurrent = replace(manifest, architecture=replace(manifest.architecture, decoder="ssru"), nat={"ctc": CTC})

    assert searches(recurrent)
    assert not can_verify(recurrent)
    assert draft_sources(recurrent) == []
    assert offered(recurrent) == "it has greedy and beam search and nat"


def test_the_source_drafts_where_both_sides_have_one_vocabulary(manifest: Manifest) -> None:
    """Else its ids mean other words."""
    apart = replace(manifest, tokenizer=replace(manifest.tokenizer, target="other.spm"))

    assert draft_sources(manifest) == [DraftSource.SOURCE]
    assert draft_sources(apart) == []
    assert offered(apart) == "it has greedy and beam search"


def test_a_bundle_without_a_step_has_its_other_decoder_alone(manifest: Manifest) -> None:
    """It neither searches nor verifies."""
    alone = replace(manifest, nat={"ctc": CTC}, graphs={k: v for k, v in manifest.graphs.items() if k != "step"})

    assert not searches(alone)
    assert draft_sources(alone) == []
    assert offered(alone) == "it has nat"
