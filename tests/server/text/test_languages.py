"""Languages that a text is evidently not in."""

import itertools
import random
import re

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from dragoman.server.text import languages
from dragoman.server.text.languages import SCRIPTS, _model, other_language, other_script, preference

TEXTS = {
    "pt": "este pacote contém os arquivos de que o programa precisa para mostrar mensagens em outros idiomas",
    "en": "this package contains the files that the program needs to show messages in other languages",
    "es": "este paquete contiene los archivos que el programa necesita para mostrar mensajes en otros idiomas",
    "fr": "ce paquet contient les fichiers dont le programme a besoin pour afficher des messages dans d'autres langues",
    "de": "dieses paket enthält die dateien, die das programm braucht, um meldungen in anderen sprachen zu zeigen",
    "ru": "этот пакет содержит файлы, нужные программе",
    "ja": "このパッケージには他の言語のファイルがあります",
}
LATIN = ("pt", "en", "es", "fr", "de")


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


@pytest.mark.parametrize("language", LATIN)
@pytest.mark.parametrize("tag", LATIN)
def test_a_sentence_tells_its_language(language, tag):
    """Of those that are written in the same letters; a country changes nothing."""
    found = other_language(words(TEXTS[language]), f"{tag}-XX")

    assert found == (None if language == tag else language)


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(("tag", "scripts"), [("en", {"Latn"}), ("ru", {"Cyrl"}), ("ja", {"Kana", "Hani"})])
def test_letters_tell_their_script(language, tag, scripts):
    """What is not written in one of a language's scripts is not in it."""
    found = other_script(TEXTS[language], tag)

    expected = {"ru": "Cyrl", "ja": "Kana"}.get(language, "Latn")
    assert found == (None if expected in scripts else expected)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("NASA, OpenOffice.org, GNOME, Power Devil e KDE Plasma Desktop Environment", "pt"),  # names
        ("save all files", "pt"),  # too short
        (TEXTS["en"], "tlh"),  # a language that the model does not know
        (TEXTS["pt"], "gl"),  # one that it mixes up with another
        (f"{TEXTS['pt']} ライト 中国", "pt"),  # words of other scripts
        ("中国 is a word of two letters", "pt"),
        ("", "pt"),
    ],
)
def test_what_is_not_sure_is_not_said(text, tag):
    """Neither of a language nor of a script."""
    assert other_language(words(text), tag) is None
    assert other_script(text, tag) is None


def test_a_tag_may_name_its_script():
    """Of languages that are written in two."""
    assert other_script(TEXTS["en"], "sr-Cyrl") == "Latn"
    assert other_script(TEXTS["en"], "sr-Latn") is None
    assert other_script(TEXTS["en"], "sr") is None
    assert other_script(TEXTS["ja"], "zh-Hant") == "Kana"


def test_one_language_is_preferred_to_another():
    """By a distance that grows with the text; none of a language that the model does not know."""
    assert preference(words(TEXTS["en"]), "en", "pt") > preference(["delete", "all", "files"], "en", "pt") > 0
    assert preference(words(TEXTS["en"]), "pt", "en") == -preference(words(TEXTS["en"]), "en", "pt")
    assert preference(words(TEXTS["en"]), "en", "tlh") is None


@pytest.mark.parametrize("tag", LATIN)
def test_what_words_say_by_themselves_changes_nothing(tag, monkeypatch):
    """They are asked first. Of texts that are half in one language and half in another, nearly all are told without
    them what they are told with them, and the others are told nothing.
    """
    choose = random.Random(1)
    texts = []
    for one, other in itertools.product(LATIN, LATIN):
        mixed = words(TEXTS[one]) + words(TEXTS[other])
        choose.shuffle(mixed)
        texts += [mixed, mixed[::2], words(TEXTS[one])[:9] + words(TEXTS[other])[5:]]
    found = [other_language(text, tag) for text in texts]
    monkeypatch.setattr(languages, "CLEAR", float("inf"))
    slow = [other_language(text, tag) for text in texts]

    differing = [told for told, told_slowly in zip(found, slow, strict=True) if told != told_slowly]
    assert differing == [None] * len(differing)
    assert len(differing) <= len(texts) // 20


def test_a_word_that_is_too_long_is_read_in_part():
    """What is repeated within a word is no language."""
    assert other_language(words(f"abrir a caixa de {'diálogo' * 12}"), "pt") is None


def test_scores_are_those_of_the_library():
    """Computed without its arrays of all features."""
    theirs = LanguageIdentifier.from_pickled_model(MODEL_FILE)

    for text in TEXTS.values():
        expected = theirs.nb_classprobs(theirs.instance2fv(text))
        assert _model().scores(text) == pytest.approx(expected, abs=2e-3)


def test_each_language_has_scripts():
    """That the table of letters knows."""
    assert {"pt", "zh", "ja", "ar", "hi", "ko"} <= {*SCRIPTS}
    assert all(other_script("", language) is None for language in SCRIPTS)
