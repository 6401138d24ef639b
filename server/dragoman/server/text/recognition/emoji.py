"""Emoji and other pictures: a run of them, with all that is joined to them."""

import re

_PICTURES = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\ue000-\uf8ff\U0001f000-\U0001faff\U000f0000-\U0010fffd"
)
"""Arrows, signs, dingbats, pictographs, and the private characters that icon fonts have."""
_JOINED = "\u200d\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"
"""What joins pictures, chooses how they look, or frames a digit. Skin tones are pictures themselves."""

PATTERN = re.compile(f"(?:[{_PICTURES}][{_PICTURES}{_JOINED}]*+|[0-9#*]\ufe0f?\u20e3)++")
