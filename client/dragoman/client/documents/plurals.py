"""Plural forms of catalogues: how many a language has, and which of them a number takes.

A catalogue says it in C, in its header. The table below is for catalogues whose header does not say it yet; it is that
of gettext's manual and of the Unicode CLDR.
"""

import gettext
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FORMULA = re.compile(r"nplurals\s*=\s*(\d+)\s*;\s*plural\s*=\s*([^;]*)")
_PLACEHOLDER = re.compile(r"%(?:\(\w+\)|\d+\$)?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|\{[^{}]*\}")
_LARGEST = 200
"""Formulas repeat themselves every hundred numbers."""
_MOST_FORMS = 10

_ONE = "nplurals=1; plural=0;"
_TWO = "nplurals=2; plural=(n != 1);"
_TWO_WITH_ZERO = "nplurals=2; plural=(n > 1);"
_EAST_SLAVIC = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);"
_WEST_SLAVIC = "nplurals=3; plural=(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2;"
_BY_LANGUAGES = {
    "fa id ja ka km ko lo ms my th tt ug vi wo yo zh": _ONE,
    "af an as az bg bn ca da de el en eo es et eu fi fo fur fy gl gu ha he hi hu ia it kk kn ku ky lb ml mn mr nah"
    " nap nb ne nl nn no or pa pms ps pt rm sc sco si so sq sv sw ta te tk tr ur": _TWO,
    "ach ak am arn br fil fr gun ln mfe mg mi oc pt_BR tg tl uz wa": _TWO_WITH_ZERO,
    "be bs hr ru sr uk": _EAST_SLAVIC,
    "cs sk": _WEST_SLAVIC,
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);",
    "lt": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "lv": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);",
    "ro": "nplurals=3; plural=(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2);",
    "sl": "nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);",
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
    "cy": "nplurals=4; plural=(n==1) ? 0 : (n==2) ? 1 : (n != 8 && n != 11) ? 2 : 3;",
    "ga": "nplurals=5; plural=n==1 ? 0 : n==2 ? 1 : (n>2 && n<7) ? 2 : (n>6 && n<11) ? 3 : 4;",
    "gd": "nplurals=4; plural=(n==1 || n==11) ? 0 : (n==2 || n==12) ? 1 : (n > 2 && n < 20) ? 2 : 3;",
    "mk": "nplurals=2; plural=(n%10==1 && n%100!=11) ? 0 : 1;",
    "is": "nplurals=2; plural=(n%10!=1 || n%100==11);",
    "mt": "nplurals=4; plural=(n==1 ? 0 : n==0 || ( n%100>1 && n%100<11) ? 1 : (n%100>10 && n%100<20 ) ? 2 : 3);",
}
_TABLE = {language: formula for languages, formula in _BY_LANGUAGES.items() for language in languages.split()}


@dataclass(frozen=True)
class PluralForms:
    """The forms of a language."""

    formula: str
    """As a header writes it."""
    numbers: tuple[tuple[int, ...], ...]
    """For each form the numbers up to 200 that take it."""

    def texts(self, singular: str, plural: str) -> Sequence[bool]:
        """For each form whether it is made of the singular: it stands for one alone, or for others that it names."""
        names_number = _PLACEHOLDER.findall(singular) == _PLACEHOLDER.findall(plural)
        return [
            len(self.numbers) > 1 and 1 in numbers and (names_number or set(numbers) <= {0, 1})
            for numbers in self.numbers
        ]


def plural_forms(header: str) -> PluralForms | None:
    """What a header's field says; None for a template's, and for what is no formula."""
    match = _FORMULA.search(header)
    if not match or not 1 <= int(match[1]) <= _MOST_FORMS:
        return None
    try:
        form: Callable[[int], int] = gettext.c2py(match[2].strip())
        taken = [form(number) for number in range(_LARGEST + 1)]
    except (ValueError, ZeroDivisionError):
        return None
    count = int(match[1])
    if not all(0 <= index < count for index in taken):
        return None
    numbers = tuple(
        tuple(number for number, index in enumerate(taken) if index == position) for position in range(count)
    )
    return PluralForms(match[0].strip().removesuffix(";") + ";", numbers)


def forms_of_language(language: str | None) -> PluralForms | None:
    """The forms of a language, a BCP-47 tag or a locale's name; None where the table does not have it."""
    parts = re.split(r"[-_.@]", language or "")
    region = f"{parts[0].lower()}_{parts[1].upper()}" if len(parts) > 1 else ""
    formula = _TABLE.get(region) or _TABLE.get(parts[0].lower())
    return plural_forms(formula) if formula else None
