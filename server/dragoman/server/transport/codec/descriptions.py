"""What a server knows about a model, as messages: pure functions."""

from dragoman.bundle.profiles import PROFILES
from dragoman.bundle.reader import Bundle
from dragoman.server.core.requests import Request
from dragoman.server.core.strategies import Engine
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.planning.capabilities import draft_sources, engines, nat_decoders, searches
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import write


def model(pipeline: Pipeline, *, max_request_bytes: int, draining: bool) -> pb.Model:
    """A served bundle's description."""
    manifest, limits = pipeline.bundle.manifest, pipeline.limits
    return pb.Model(
        name=pipeline.name,
        version=pipeline.version,
        language_pairs=[write(pb.LanguagePair, pair) for pair in manifest.pairs],
        # Every field that a request may set: sending them back asks for the same.
        defaults=write(pb.DecodingOptions, pipeline.decoding(Request(()))),
        profiles=sorted(PROFILES, key=lambda profile: profile != manifest.decoding.profile),
        limits=write(
            pb.Limits,
            manifest.limits,
            limits,
            max_hypotheses=limits.max_hypotheses,
            max_message_bytes=max_request_bytes,
            max_backlog_tokens=limits.backlog_tokens,
        ),
        engines=[f"ENGINE_{engine.name}" for engine in _engines(pipeline)],
        decoders=manifest.decoders,
        nat_decoders=nat_decoders(manifest),
        draft_sources=[f"DRAFT_SOURCE_{source.name}" for source in draft_sources(manifest)],
        precision=manifest.precision,
        execution_provider=pipeline.lanes.provider,
        state=pb.MODEL_STATE_DRAINING if draining else pb.MODEL_STATE_SERVING,
        licence=manifest.licence,
        digest=pipeline.bundle.digest,
        glossaries=[pb.Glossary(name=one.name, terms=len(one.finder)) for one in pipeline.glossaries],
        source_languages=() if manifest.pairs else manifest.tokenizer.source_languages,
        target_languages=() if manifest.pairs else manifest.tokenizer.target_languages,
    )


def coming(bundle: Bundle) -> pb.Model:
    """What is known of a bundle that is being loaded."""
    manifest = bundle.manifest
    return pb.Model(
        name=manifest.name,
        version=bundle.version,
        language_pairs=[write(pb.LanguagePair, pair) for pair in manifest.pairs],
        precision=manifest.precision,
        state=pb.MODEL_STATE_LOADING,
        licence=manifest.licence,
        digest=bundle.digest,
        source_languages=() if manifest.pairs else manifest.tokenizer.source_languages,
        target_languages=() if manifest.pairs else manifest.tokenizer.target_languages,
    )


def _engines(pipeline: Pipeline) -> list[Engine]:
    """What the model can run within the server's limits, the default first."""
    manifest = pipeline.bundle.manifest
    if not searches(manifest):
        return engines(manifest)
    searching = [Engine.GREEDY, *([Engine.BEAM] if pipeline.limits.max_beam_size > 1 else [])]
    by_default = searching if manifest.decoding.beam_size == 1 else searching[::-1]
    return [*by_default, Engine.SAMPLING, *engines(manifest)]
