"""What a request may hold at most."""

from dataclasses import dataclass, replace

from dragoman.bundle.graphs import STEP_SHORTLIST
from dragoman.bundle.manifest import Manifest
from dragoman.server.core.errors import InvalidRequest

MAX_REQUEST_ID_BYTES = 128
MAX_HYPOTHESES = 256
"""What `--max-hypotheses` may be at most, and is within a process: each is a row of every step of its text."""


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for at most."""

    max_texts: int
    max_text_bytes: int
    max_beam_size: int
    max_hypotheses: int
    backlog_tokens: int
    max_terms: int


@dataclass(frozen=True)
class Bounds:
    """What decoding settings may be at most: by the server's options, and by what a bundle's networks can take."""

    max_beam_size: int
    max_hypotheses: int
    manifest: Manifest

    def of(self, decoder: str | None) -> "Bounds":
        """Those of one of its autoregressive decoders; None: the architecture's own."""
        return replace(self, manifest=self.manifest.of(decoder))

    @property
    def has_shortlist(self) -> bool:
        """Whether target words can be chosen from a lexical shortlist."""
        return self.manifest.shortlist is not None and STEP_SHORTLIST in self.manifest.graphs


FORMS_PER_TERM = 4
"""Forms of all terms of a request together, for each term that it may have."""


def check_number_of_terms(terms: int, forms: int, most: int) -> None:
    """Refuse more terms, or more forms of them, than a request may have."""
    if terms > most:
        way_out = "keep them in a glossary of the server's (--glossaries)" if most else "this server takes none"
        raise InvalidRequest("terms", f"{terms} terms, the limit is {most} (--max-terms): {way_out}")
    if forms > FORMS_PER_TERM * most:
        most_forms, way_out = FORMS_PER_TERM * most, "keep them in a glossary of the server's (--glossaries)"
        raise InvalidRequest(
            "terms", f"{forms} forms, the limit is {most_forms} ({FORMS_PER_TERM} --max-terms): {way_out}"
        )


def check_number(number: int, most: int, field: str = "texts") -> None:
    """Refuse more texts than one message may have."""
    if number > most:
        raise InvalidRequest(field, f"{number} texts, the limit is {most} (--max-texts): send them in several requests")
