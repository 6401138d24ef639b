"""What a reader must know about a translation before relying on it."""

from dragoman.client.types import FinishReason, Translation


def problem_of(translation: Translation) -> str:
    """In words; empty if nothing."""
    if translation.source_truncated:
        return "the end of the text was dropped, it is longer than the model can read (--splitting sentences)"
    if translation.finish_reason is FinishReason.LENGTH:
        return "the length limit was reached, the translation may be incomplete (--max-length, --max-length-factor)"
    if translation.finish_reason is FinishReason.REPETITION:
        return "the model repeated itself and was stopped, what came of it makes no sense (--on-loop)"
    if not translation.is_complete:
        return f"the translation may be incomplete, decoding ended with {translation.finish_reason}"
    if translation.keeping is not None and translation.keeping.lost:
        return f"{translation.keeping.lost} protected spans are not in the translation"
    if translation.warnings:
        kinds = dict.fromkeys(warning.kind.replace("_", " ") for warning in translation.warnings)
        return f"look at the translation: {', '.join(kinds)}"
    if appended := [outcome.source for outcome in translation.terms if outcome.appended]:
        return f"nothing said where these terms belong, and they stand at the end: {', '.join(appended)}"
    return ""
