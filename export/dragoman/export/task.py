"""What a model does that does not translate: `dragoman export --task summarization`.

Its texts are read whole, as far as the model reads, nothing of them is protected, and nothing of what comes out is
compared with them. A prompt becomes ids that are put before each text.
"""

from dataclasses import replace

from dragoman.bundle.manifest import Texts
from dragoman.export.calibration.texts import encoder_of
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
