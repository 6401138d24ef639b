"""Which decoders can be distilled. Needs nothing, so that a command line can be read without torch."""

from typing import Literal

Kind = Literal["autoregressive", "ctc", "mask-predict"]
KINDS: tuple[Kind, ...] = ("autoregressive", "ctc", "mask-predict")
"""Kinds of decoders in the order in which they are trained: mask-predict begins from the autoregressive's layers."""
LAYERS: dict[Kind, int] = {"autoregressive": 2, "ctc": 2, "mask-predict": 3}
DEFAULT: tuple[Kind, ...] = ("autoregressive", "ctc")
EPOCHS = 10.0
