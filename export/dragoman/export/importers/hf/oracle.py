"""transformers itself, where it is installed, to compare an export with. Never needed to make one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dragoman.export.core.errors import ExportError

PACKAGE = "transformers"
NEVER = -1000.0
"""Added to the logits of words that scores are normalised without: exp() of it is exactly zero."""


class TransformersOracle:
    """The model of a directory, loaded anew for each question: between questions it holds no memory."""

    def __init__(
        self, folder: Path, pad_id: int, left_out: tuple[int, ...], settings: Mapping[str, object], first: int = 0
    ) -> None:
        """Scores are normalised without the words `left_out`; `settings` hold whatever the library makes of them.

        So many `first` words of a source see all of it, and are seen by all.
        """
        self._folder, self._pad_id, self._left_out, self._settings = folder, pad_id, left_out, settings
        self._first = first

    @property
    def name(self) -> str:
        """The library and its version."""
        return f"{PACKAGE} {metadata.version(PACKAGE)}"

    @property
    def avoided_ids(self) -> tuple[int, ...]:
        """The padding's id."""
        return (self._pad_id,)

    def seeing(self, first: int) -> "TransformersOracle":
        """The same, where so many first words of a source see all of it."""
        return TransformersOracle(self._folder, self._pad_id, self._left_out, self._settings, first)

    @torch.inference_mode()
    def log_probabilities(self, sources: list[list[int]], read: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Log-probabilities of all words [G, T, V] after each of those that the decoder reads, `read` [G, T]."""
        model = self._load()
        logits = []
        for source, words in zip(sources, read, strict=True):  # one by one: their own padding proves nothing of ours
            ids, kind = torch.tensor([source]), getattr(model.config, "attention_type", None)
            if kind is not None:  # BigBird keeps full attention once a source was short
                model.get_encoder().set_attention_type(kind)
            seen = {"global_attention_mask": (torch.arange(ids.shape[1]) < self._first).long()[None]}
            answer = model(
                input_ids=ids,
                decoder_input_ids=torch.from_numpy(words[None]),
                use_cache=False,
                **(seen if self._first else {}),
            )
            logits.append(answer.logits)
        joined = torch.cat(logits).float()
        joined[..., list(self._left_out)] += NEVER
        result: npt.NDArray[np.float32] = joined.log_softmax(-1).numpy()
        return result

    def _load(self) -> Any:
        try:
            with _quiet() as transformers:
                model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                    self._folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
                )
                for name, value in self._settings.items():
                    setattr(model.config, name, value)
                return model.eval()
        except Exception as error:  # whatever a library of this size may raise
            raise ExportError(
                f"{self.name} cannot load {self._folder}, so nothing can be compared with it ({error}); "
                f"without {PACKAGE} the export ends with its other comparisons"
            ) from error


def oracle_of(
    folder: Path, pad_id: int, left_out: tuple[int, ...], settings: Mapping[str, object], first: int = 0
) -> TransformersOracle | None:
    """The oracle of a directory; None where transformers is not installed."""
    return None if util.find_spec(PACKAGE) is None else TransformersOracle(folder, pad_id, left_out, settings, first)


@contextmanager
def _quiet() -> Iterator[Any]:
    """The library, without its bars and advice."""
    import transformers  # seconds, and only when it is asked

    log: Any = transformers.utils.logging
    level, has_bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield transformers
    finally:
        log.set_verbosity(level)
        if has_bars:
            log.enable_progress_bar()
