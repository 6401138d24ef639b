"""What a bundle's decoders can do."""

from dragoman.bundle.graphs import STEP
from dragoman.bundle.manifest import NAT_NAMES, Manifest
from dragoman.server.core.strategies import DraftSource, Engine


def nat_decoders(manifest: Manifest) -> list[str]:
    """The bundle's non-autoregressive decoders, the default first."""
    return [name for name in NAT_NAMES if name in manifest.nat]


def searches(manifest: Manifest) -> bool:
    """Whether the bundle has a decoder that translates word by word."""
    return STEP in manifest.graphs


def can_verify(manifest: Manifest) -> bool:
    """Whether that decoder reads several words at a time."""
    return searches(manifest) and manifest.architecture.decoder == "self-attention"


def verifier(manifest: Manifest) -> str | None:
    """The first of the bundle's decoders that can verify drafts, else its default; None: the architecture's own."""
    able = (sibling for sibling in (None, *sorted(manifest.siblings)) if can_verify(manifest.of(sibling)))
    return next(able, manifest.searcher)


def draft_sources(manifest: Manifest) -> list[DraftSource]:
    """Where drafts may come from, the default first; none where the decoder cannot read several words at a time.

    A block costs a pass at every round, which on a processor is several steps of a shallow decoder, one translation a
    pass for the whole text.
    """
    manifest = manifest.of(verifier(manifest))
    tokenizer = manifest.tokenizer
    if not can_verify(manifest):
        return []
    found = [DraftSource.HYPOTHESIS] * bool(manifest.nat)
    found += [DraftSource.NAT] * any(nat.block for nat in manifest.nat.values())
    is_shared = (tokenizer.source, tokenizer.source_vocabulary) == (tokenizer.target, tokenizer.target_vocabulary)
    return [*found, *[DraftSource.SOURCE] * is_shared]


def engines(manifest: Manifest) -> list[Engine]:
    """What the bundle can do besides searching and sampling."""
    found = [Engine.SPECULATIVE, Engine.SPECULATIVE_LOSSY] if draft_sources(manifest) else []
    return [*found, *([Engine.NAT] if manifest.nat else [])]


def offered(manifest: Manifest) -> str:
    """What there is, for those who asked for what is not."""
    found = ["greedy and beam search"] if searches(manifest) else []
    found += [engine.value for engine in engines(manifest) if engine is not Engine.SPECULATIVE_LOSSY]
    return f"it has {' and '.join(found)}"
