"""The licence that a model's card states, as an SPDX expression."""

from pathlib import Path

import yaml

CARD = "README.md"
SPDX = {
    "afl-3.0": "AFL-3.0",
    "apache-2.0": "Apache-2.0",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0-1.0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "mit": "MIT",
    "mpl-2.0": "MPL-2.0",
}
"""The hub's names of licences that models in its translation section have."""
LONGEST = 1 << 16
FENCE = "---"


def licence_of(card: Path) -> str:
    """The licence in a card's front matter; empty where there is none, or none that SPDX has a name for."""
    try:
        with card.open(encoding="utf-8") as file:
            text = file.read(LONGEST)
        _, front, _ = text.split(FENCE, 2)
        stated = yaml.safe_load(front)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ""
    name = stated.get("license") if isinstance(stated, dict) else None
    return SPDX.get(name, "") if isinstance(name, str) else ""
