"""A Hugging Face directory and the settings of its tokenizer, which are spread over several JSON files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.json_files import read_json_if_there


@dataclass
class Directory:
    """A model's directory, with the settings of all those files in one object."""

    path: Path
    config: dict[str, Any]
    reasons: Reasons
    settings: dict[str, Any] = field(init=False)
    generation: dict[str, Any] = field(init=False)
    read: list[Path] = field(default_factory=list)
    """Every file that has been read."""

    def __post_init__(self) -> None:
        self.generation = self._json("generation_config.json") or self.config
        self.settings = self._json("special_tokens_map.json") | self._json("tokenizer_config.json")
        self.numbered: dict[str, int] = self._numbered()
        """Ids of single tokens, where the settings give them."""

    def file(self, name: str) -> Path:
        """Where a file of this name lies, if there is one."""
        return self.path / name

    def has(self, *names: str) -> bool:
        """Whether all of them are there."""
        return all(self.file(name).is_file() for name in names)

    def number(self, name: str) -> int | None:
        """A token's id from the generation settings, or the model's."""
        value = self.generation.get(name)
        value = self.config.get(name) if value is None else value
        if isinstance(value, list) and len(value) == 1:
            [value] = value
        if value is None or type(value) is int:
            return value
        self.reasons.add(f"{name} must be one id, it is {short(value)}")
        return None

    def token(self, name: str, usual: str) -> str:
        """What the tokenizer calls a special token."""
        return _name(self.settings.get(name) or usual)

    def extra_tokens(self) -> list[str]:
        """Special tokens by their names, in the order of their ids."""
        named = self.settings.get("extra_special_tokens") or self.settings.get("additional_special_tokens") or []
        return [_name(token) for token in named] if isinstance(named, list) else []

    def _numbered(self) -> dict[str, int]:
        ids = {token: index for token, index in self._json("added_tokens.json").items() if type(index) is int}
        decoder = self.settings.get("added_tokens_decoder", {})
        if not isinstance(decoder, dict) or not all(index.isdecimal() for index in decoder):
            self.reasons.add("tokenizer_config.json: added_tokens_decoder must be an object from ids to tokens")
            return ids
        return ids | {_name(token): int(index) for index, token in decoder.items()}

    def _json(self, name: str) -> dict[str, Any]:
        content = read_json_if_there(self.file(name), self.reasons)
        if content:
            self.read.append(self.file(name))
        return content


def _name(token: object) -> str:
    """A token is written as its name, or as an object that has it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
