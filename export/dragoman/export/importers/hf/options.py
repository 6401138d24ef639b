"""Options of a JSON configuration with their types checked; what is wrong becomes a reason."""

from collections.abc import Mapping
from typing import Any

from dragoman.bundle.manifest import Activation
from dragoman.export.core.reasons import Reasons, short

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "gelu_accurate": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "quick_gelu": "gelu-sigmoid",
    "silu": "swish",
    "swish": "swish",
}


class Options:
    """The options of a model, or of one side of it, which reasons name by a prefix."""

    def __init__(self, options: Mapping[str, Any], reasons: Reasons, prefix: str = "") -> None:
        self.stated = frozenset(options)
        """Names of all options, those that are null among them."""
        self._options, self._reasons, self._prefix = options, reasons, prefix

    def __contains__(self, name: str) -> bool:
        return self._options.get(name) is not None

    def raw(self, name: str) -> Any:
        """An option as it stands; None where it is absent."""
        return self._options.get(name)

    def whole(self, name: str, most: int, default: int | None = None, *, least: int = 1) -> int:
        """A whole number within bounds."""
        value = self._options.get(name)
        value = default if value is None else value
        if type(value) is int and least <= value <= most:
            return value
        self._must(name, f"be a whole number from {least} to {most}", value)
        return least

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._options.get(name)
        value = default if value is None else value
        if type(value) is bool:
            return value
        self._must(name, "be true or false", value)
        return default

    def positive(self, name: str, default: float) -> float:
        """A small number above zero."""
        value = self._options.get(name, default)
        if type(value) in (int, float) and 0 < value < 1:
            return float(value)
        self._must(name, "be above 0 and below 1", value)
        return default

    def number(self, name: str, default: float) -> float:
        """A number above zero."""
        value = self._options.get(name)
        value = default if value is None else value
        if type(value) in (int, float) and 0 < value < float("inf"):
            return float(value)
        self._must(name, "be a number above 0", value)
        return default

    def activation(self, value: object) -> Activation:
        """The activation that an option names."""
        if isinstance(value, str) and value in ACTIVATIONS:
            return ACTIVATIONS[value]
        what = f"the activation of {self._prefix.removesuffix('.')}" if self._prefix else "the activation"
        self._reasons.add(f"{what} must be one of {', '.join(ACTIVATIONS)}, config.json says {short(value)}")
        return "relu"

    def _must(self, name: str, what: str, value: object) -> None:
        self._reasons.add(f"{self._prefix}{name} must {what}, config.json says {short(value)}")
