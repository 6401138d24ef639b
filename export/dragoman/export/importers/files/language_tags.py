"""The BCP-47 tags of the languages that a multilingual model has tokens for.

Models name languages in several ways: `pt`, `por_Latn`, `pt_XX`, `pt_br`, `por`. Each code gets its canonical tag
(`zh-Hans`), and the language alone (`zh`) goes to the code in the language's usual script, or to its only one. Where a
language comes in several scripts, the regions that write another one get it too (`zh-TW` is `zh-Hant`).
"""

from collections.abc import Iterable, Iterator

from langcodes import Language, standardize_tag
from langcodes.data_dicts import LIKELY_SUBTAGS, MACROLANGUAGES
from langcodes.tag_parser import LanguageTagError

EQUIVALENT = (("nb", "no"), ("fil", "tl"), ("nso", "ns"))
"""Two tags for one language: a model may have one, a request the other. M2M100 calls Northern Sotho ns."""


def tags_of(codes: Iterable[str]) -> dict[str, str]:
    """Tag -> the model's code, for every code that is a language tag in some way of writing."""
    parsed = {code: language for code in codes if (language := _language(code)) is not None}
    claims = [*_claims(parsed), *_regions(parsed)]
    tags: dict[str, str] = {}
    for _, tag, code in sorted(claims, key=lambda claim: claim[0]):
        tags.setdefault(tag, code)
    for pair in EQUIVALENT:
        for tag, other in (pair, pair[::-1]):
            if other in tags:
                tags.setdefault(tag, tags[other])
    return tags


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
        exact = standardize_tag(language.to_tag())
        shared = standardize_tag(language.to_tag(), macro=True)
        yield 0, exact, code
        yield 1, shared, code
        for tag in (exact, shared):
            alone = tag.partition("-")[0]
            usual = Language.get(alone).maximize().script
            yield (2 if language.script in (None, usual) else 3), alone, code
        if (group := MACROLANGUAGES.get(exact.partition("-")[0])) is not None:
            yield 5, group, code


def _regions(parsed: dict[str, Language]) -> Iterator[tuple[int, str, str]]:
    """For languages in several scripts, the regions that tell the script."""
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
