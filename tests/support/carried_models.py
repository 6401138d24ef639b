"""What the packages g2p-en and e2k give, without the dictionaries that g2p-en looks words up in before its model."""

import sys
import types
import warnings
from pathlib import Path


def g2p(folder: Path):
    """`G2p` of g2p-en; what it asks NLTK for is stood in for, as its model needs none of it."""
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        sys.modules.setdefault(name, types.ModuleType(name))
    nltk = sys.modules["nltk"]
    nltk.pos_tag, nltk.data = None, types.SimpleNamespace(find=lambda _: None)
    sys.modules["nltk.corpus"].cmudict = types.SimpleNamespace(dict=dict)
    sys.modules["nltk.tokenize"].TweetTokenizer = lambda: types.SimpleNamespace(tokenize=str.split)
    sys.modules["inflect"].engine = lambda: None
    sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how its patterns are written, and of a file that it leaves open
        from g2p_en.g2p import G2p

        return G2p()


def e2k(folder: Path):
    """The module e2k."""
    sys.path.insert(0, str(folder))
    import e2k

    return e2k
