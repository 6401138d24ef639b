"""The BCP-47 tags of the languages that a multilingual model has tokens for.

Models name languages in several ways: `pt`, `por_Latn`, `pt_XX`, `pt_br`, `por`. Each code gets its canonical tag
(`zh-Hans`), and the language alone (`zh`) goes to the code in the language's usual script, or to its only one. Where a
language comes in several scripts, the regions that write another one get it too (`zh-TW` is `zh-Hant`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from langcodes import Language, standardize_tag
from langcodes.data_dicts import LIKELY_SUBTAGS, MACROLANGUAGES
from langcodes.tag_parser import LanguageTagError

EQUIVALENT = (("nb", "no"), ("fil", "tl"), ("nso", "ns"))
"""Tags of which a model may have one and a request the other. M2M100 calls Northern Sotho ns."""

M2M100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
)
"""Codes with spaces between, in the order of their ids, which begin after the vocabulary."""
WMT21 = "en ha is ja cs ru zh de"


def tags_of(codes: Iterable[str]) -> dict[str, str]:
    """Tag -> the model's code, of every code that is a language tag in some way of writing."""
    parsed = {code: language for code in codes if (language := _language(code)) is not None}
    claims = [*_claims(parsed), *_regions(parsed)]
    found: dict[str, str] = {}
    for _, tag, code in sorted(claims, key=lambda claim: claim[0]):
        found.setdefault(tag, code)
    for pair in EQUIVALENT:
        for one, other in (pair, pair[::-1]):
            if other in found:
                found.setdefault(one, found[other])
    return found


def tag_of(code: str) -> str | None:
    """The tag of a single language; None where the code is not one."""
    return next(iter(tags_of([code])), None)


def _language(code: str) -> Language | None:
    try:
        language = Language.get(code.removesuffix("_XX"), normalize=False)
    except LanguageTagError:
        return None
    return language if language.language else None


def _claims(parsed: dict[str, Language]) -> Iterator[tuple[int, str, str]]:
    """Rank, tag and code: of two codes that claim a tag, the lower rank gets it, then the one that comes first."""
    for code, language in parsed.items():
        own = standardize_tag(language.to_tag())
        shared = standardize_tag(language.to_tag(), macro=True)
        yield 0, own, code
        yield 1, shared, code
        for tag in (own, shared):
            alone = tag.partition("-")[0]
            usual = Language.get(alone).maximize().script
            yield (2 if language.script in (None, usual) else 3), alone, code
        if (group := MACROLANGUAGES.get(own.partition("-")[0])) is not None:
            yield 5, group, code


def _regions(parsed: dict[str, Language]) -> Iterator[tuple[int, str, str]]:
    """For languages in several scripts, the regions by which the script is known."""
    scripts: dict[str, dict[str, str]] = {}
    for code, language in parsed.items():
        if language.script:
            alone = standardize_tag(language.to_tag(), macro=True).partition("-")[0]
            scripts.setdefault(alone, {}).setdefault(language.script, code)
    for tag, likely in LIKELY_SUBTAGS.items():
        alone, _, region = tag.partition("-")
        script = likely.split("-")[1]
        if len(scripts.get(alone, ())) > 1 and len(region) == 2 and script in scripts[alone]:
            yield 4, tag, scripts[alone][script]
