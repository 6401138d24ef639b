"""How often properties are tried."""

import os


def examples(usual: int) -> int:
    """`usual` in an ordinary run; `make test-text` has more."""
    return int(os.environ.get("EXAMPLES", usual))
