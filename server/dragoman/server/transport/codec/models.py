"""What a server knows about a model, as messages: pure functions."""

from __future__ import annotations

from typing import Any

from dragoman.bundle.manifest import Decoding
from dragoman.bundle.profiles import PROFILES
from dragoman.server.core.requests import Request
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.planning.capabilities import draft_sources, engines, nat_decoders, searches
from dragoman.server.transport.codec.requests import DRAFT, EARLY_STOPPING, LENGTH_PENALTY_KIND, UNKNOWN_HANDLING
from dragoman.server.transport.codec.results import ENGINE
from dragoman.v1 import translation_pb2 as pb


def model(pipeline: Pipeline, *, max_request_bytes: int, draining: bool) -> pb.Model:
    """A served bundle's description."""
    manifest, limits = pipeline.bundle.manifest, pipeline.limits
    beam_size = manifest.decoding.beam_size
    found = [pb.ENGINE_GREEDY, *([pb.ENGINE_BEAM] if limits.max_beam_size > 1 else [])]
    found = [*(found if beam_size == 1 else found[::-1]), pb.ENGINE_SAMPLING] if searches(manifest) else []
    further = [ENGINE[engine] for engine in engines(manifest)]
    drafts = draft_sources(manifest)
    return pb.Model(
        name=pipeline.name,
        version=pipeline.version,
        language_pairs=[
            pb.LanguagePair(source_language=pair.source, target_language=pair.target) for pair in manifest.pairs
        ],
        decoding=_decoding(pipeline.decoding(Request(()))),
        profiles=sorted(PROFILES, key=lambda profile: profile != manifest.decoding.profile),
        limits=pb.Limits(
            max_texts=limits.max_texts,
            max_text_bytes=limits.max_text_bytes,
            max_source_tokens=manifest.limits.max_source_tokens,
            max_target_tokens=manifest.limits.max_target_tokens,
            max_beam_size=limits.max_beam_size,
            max_hypotheses=limits.max_beam_size,
            max_message_bytes=max_request_bytes,
            max_backlog_tokens=limits.backlog_tokens,
        ),
        engines=[*found, *further],
        nat_decoders=nat_decoders(manifest),
        draft_sources=[number for one in drafts for number, source in DRAFT.items() if source is one],
        precision=manifest.precision,
        execution_provider=pipeline.lanes.provider,
        state=pb.MODEL_STATE_DRAINING if draining else pb.MODEL_STATE_SERVING,
        licence=manifest.licence,
        digest=pipeline.bundle.digest,
        source_languages=() if manifest.pairs else manifest.tokenizer.source_languages,
        target_languages=() if manifest.pairs else manifest.tokenizer.target_languages,
    )


def _decoding(decoding: Decoding) -> pb.DecodingOptions:
    """Every field that a request may set, so that sending it back asks for the same."""
    enums: dict[str, dict[int, Any]] = {
        "length_penalty_kind": LENGTH_PENALTY_KIND,
        "early_stopping": EARLY_STOPPING,
        "unknown_handling": UNKNOWN_HANDLING,
    }
    message = pb.DecodingOptions()
    fields = {name: value for name, value in vars(decoding).items() if name in message.DESCRIPTOR.fields_by_name}
    for name, value in fields.items():
        numbers = [number for number, word in enums.get(name, {}).items() if word == value]
        setattr(message, name, numbers[0] if name in enums else value)
    return message
