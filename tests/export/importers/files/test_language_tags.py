"""Tags for the names that models give languages."""

import pytest

from dragoman.export.importers.files.language_tags import tag_of, tags_of


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("pt", "pt"),
        ("por_Latn", "pt"),
        ("pt_XX", "pt"),
        ("pt_br", "pt-BR"),
        ("zho_Hant", "zh-Hant"),
        ("por", "pt"),
        ("<mask>", None),
    ],
)
def test_each_way_of_writing_has_one_tag(code, tag):
    """What is no language has none."""
    assert tag_of(code) == tag


def test_a_language_alone_is_its_usual_script():
    """Where it comes in several; regions that write another one find that."""
    tags = tags_of(["zho_Hant", "zho_Hans", "srp_Cyrl"])

    assert (tags["zh-Hans"], tags["zh-Hant"]) == ("zho_Hans", "zho_Hant")
    assert (tags["zh"], tags["zh-TW"], tags["sr"]) == ("zho_Hans", "zho_Hant", "srp_Cyrl")


@pytest.mark.parametrize(("code", "others"), [("nb", {"no"}), ("no", {"nb"}), ("tl", {"fil"}), ("ns", {"nso"})])
def test_equivalent_tags_find_the_same_language(code, others):
    """Whichever of them the model has."""
    assert {tag for tag, found in tags_of([code]).items() if found == code} >= {code, *others}
