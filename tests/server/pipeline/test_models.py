"""Which bundle a request means."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import InvalidRequest, StartError, UnknownModel
from dragoman.server.pipeline.models import ModelQuery, Models
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.text.tokenizer import Tokenizer


@pytest.fixture
def models(pipeline_of: Callable[..., Pipeline]) -> Models:
    def served(name: str, *pairs: str) -> Pipeline:
        return pipeline_of({"name": name, "pairs": tuple(LanguagePair(*pair.split(">")) for pair in pairs)})

    return Models([served("en-pt", "en>pt"), served("en-pt-br", "en>pt-BR"), served("many", "de>en", "fr>en")])


@pytest.mark.parametrize(
    ("query", "name", "pair"),
    [
        (ModelQuery(source_language="en", target_language="pt"), "en-pt", "en-pt"),
        (ModelQuery(source_language="EN", target_language="PT"), "en-pt", "en-pt"),
        (ModelQuery(source_language="en", target_language="pt-br"), "en-pt-br", "en-pt-BR"),
        (ModelQuery(source_language="en-GB", target_language="pt-PT"), "en-pt", "en-pt"),
        (ModelQuery(source_language="en-Latn-US", target_language="pt-BR-x-old"), "en-pt-br", "en-pt-BR"),
        (ModelQuery(target_language="pt"), "en-pt", "en-pt"),
        (ModelQuery(source_language="de"), "many", "de-en"),
        (ModelQuery(model="many", source_language="fr"), "many", "fr-en"),
        (ModelQuery(model="en-pt"), "en-pt", "en-pt"),
    ],
)
def test_names_and_pairs_find_their_bundle(models: Models, query: ModelQuery, name: str, pair: str) -> None:
    """Case does not matter; the closest tag wins; a tag that nothing serves falls back to its language."""
    pipeline, found = models.route(query)

    assert (pipeline.name, str(found)) == (name, pair)


def test_a_multilingual_bundle_is_found_by_its_languages(models: Models, many: Bundle, pipeline: Pipeline) -> None:
    """Beside bundles for pairs, which are preferred where they know more of the tag."""
    many = replace(many, manifest=replace(many.manifest, name="many-told"))
    told = Pipeline(many, Tokenizer(many), pipeline.lanes, pipeline.limits, Workers(ThreadPoolExecutor()))
    both = Models([*models, told])

    assert [
        str(both.route(ModelQuery(model=model, source_language=a, target_language=b))[1])
        for model, a, b in (
            ("", "pt", "zh-Hant"),
            ("", "zh-Hant-HK", "pt-BR"),
            ("", "en", "pt-BR"),
            ("many-told", "en", "pt-BR"),
        )
    ] == ["pt-zh-Hant", "zh-Hant-pt", "en-pt-BR", "en-pt"]
    assert both.between("", "zh-Hant") == [told]
    with pytest.raises(UnknownModel, match=r"en/pt/zh-Hant into en/pt/zh-Hant \(many-told\)"):
        both.route(ModelQuery(source_language="xx"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (ModelQuery(model="nope"), "model"),
        (ModelQuery(model="../../etc/passwd"), "model"),
        (ModelQuery(model="en-pt", version="0"), "model_version"),
        (ModelQuery(source_language="xx", target_language="pt"), "source_language"),
        (ModelQuery(target_language="fr"), "target_language"),
        (ModelQuery(model="en-pt", source_language="de"), "source_language"),
    ],
)
def test_what_is_not_served_is_answered_with_what_is(models: Models, query: ModelQuery, field: str) -> None:
    """The error names the field and lists what exists."""
    with pytest.raises(UnknownModel) as refused:
        models.route(query)

    assert refused.value.violations[0].field == field
    assert "served" in str(refused.value)


@pytest.mark.parametrize("tag", ["e", "en_US", "en-", "-", "en pt", "x" * 65, "en\n", "ään"])
def test_malformed_tags_are_invalid(models: Models, tag: str) -> None:
    """They are the caller's mistake, not an unknown language; a long one is not echoed whole."""
    with pytest.raises(InvalidRequest, match="is not a BCP-47 language tag") as refused:
        models.route(ModelQuery(source_language=tag))

    assert len(str(refused.value)) < 200


def test_nothing_named_is_enough_for_one_pair_only(models: Models, pipeline: Pipeline) -> None:
    """With one pair served a request need not name it; with several it must, and all are listed."""
    assert Models([pipeline]).route(ModelQuery())[0] is pipeline
    with pytest.raises(InvalidRequest, match=r"model: name a model or a language pair.*many \(de-en\), many \(fr-en\)"):
        models.route(ModelQuery())


def test_equal_names_are_refused_at_the_start(pipeline: Pipeline) -> None:
    """Nobody could name either of them."""
    with pytest.raises(StartError, match="two bundles are echo in version"):
        Models([pipeline, pipeline])
