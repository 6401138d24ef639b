"""How often properties are tried."""

import os


def examples(usual: int) -> int:
    """`usual` in an ordinary run; `make test-text` has more."""
    return int(os.environ.get("EXAMPLES", usual))


def tenth(whole: int) -> int:
    """A tenth of it in an ordinary run; all of it where more is asked for than that."""
    return whole if "EXAMPLES" in os.environ else whole // 10
