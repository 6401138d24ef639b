"""What a model does that does not translate: `dragoman export --task summarization`.

Its texts are read whole, as far as the model reads, nothing of them is protected, and nothing of what comes out is
compared with them. A prompt becomes ids that are put before each text, and so is what comes before a text, with a
separator behind it, of a model that was trained to read it. First words may see all of a text, if there are matrices
for that.
"""

from dataclasses import replace

from dragoman.bundle.manifest import Context, Texts
from dragoman.bundle.rules import MAX_FIRST
from dragoman.export.calibration.texts import encoder_of, id_of
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.core.reasons import short

TRANSLATION = "translation"
WHOLE = Texts("none", "truncate", translated=False)
PROBE = "Hello, world!"


def with_task(checkpoint: Checkpoint, task: str, prompt: str) -> Checkpoint:
    """The model with what its task makes of texts. Raises `ExportError` where a prompt cannot be ids of its own."""
    history = {**checkpoint.history, "task": task, **({"prompt": prompt} if prompt else {})}
    return replace(with_prompt(checkpoint, prompt), texts=WHOLE, history=history)


def with_prompt(checkpoint: Checkpoint, prompt: str) -> Checkpoint:
    """The model with a prompt before each text."""
    if not prompt:
        return checkpoint
    encode, words = encoder_of(checkpoint), checkpoint.tokenizer
    ids = encode(prompt.rstrip())
    if not ids or [*ids, *encode(PROBE)] != encode(prompt.rstrip() + " " + PROBE):
        raise ExportError(f"the prompt {short(prompt)} cannot be put before a text as ids of its own: leave it out")
    return replace(checkpoint, tokenizer=replace(words, prefix=(*words.prefix, *ids)))


def with_context(checkpoint: Checkpoint, separator: str | None, max_tokens: int | None) -> Checkpoint:
    """The model, which reads what comes before a text and then a separator: a token's name, or any text."""
    if separator is None:
        if max_tokens is not None:
            raise ExportError("--context-tokens says how much of a context is read, and --context is not given")
        return checkpoint
    token = id_of(checkpoint, separator)
    between = [] if not separator else encoder_of(checkpoint)(separator) if token is None else [token]
    if separator and (not between or checkpoint.tokenizer.unk_id in between):
        raise ExportError(f"--context {short(separator)}: the model's vocabulary has no such token, nor tokens for it")
    most = checkpoint.limits.max_source_tokens // 2 - len(between)
    if not 1 <= (tokens := most if max_tokens is None else max_tokens) <= most:
        raise ExportError(f"--context-tokens {tokens}: from 1 to {most}, half of what the model reads")
    history = {**checkpoint.history, "context": separator}
    return replace(
        checkpoint, texts=replace(checkpoint.texts, context=Context(tuple(between), tokens)), history=history
    )


def with_global_words(checkpoint: Checkpoint, words: int | None) -> Checkpoint:
    """The model with so many first words of a source that see all of it, and that all words see; None: as it is."""
    window = checkpoint.architecture.encoder_window
    if words is None:
        return checkpoint
    if window is None or not window.first:
        raise ExportError("--global-words is for encoders with matrices of such words' own, as LED's: leave it out")
    if not 1 <= words <= MAX_FIRST:
        raise ExportError(f"--global-words {words} is not from 1 to {MAX_FIRST}")
    shape = replace(checkpoint.architecture, encoder_window=replace(window, first=words))
    oracle = None if checkpoint.oracle is None else checkpoint.oracle.seeing(words)
    history = {**checkpoint.history, "global words": str(words)}
    return replace(checkpoint, architecture=shape, oracle=oracle, history=history)
