"""Which format a source is in."""

from dragoman.cli.main import main


def run(*arguments) -> int:
    return main(["export", *map(str, arguments), "--from", "en", "--to", "pt"])


def test_auto_says_what_it_looks_for(tmp_path, capsys):
    """A folder of no known format is answered with what each format needs."""
    assert run(tmp_path, "--output", tmp_path / "out") == 1

    said = capsys.readouterr().err
    assert "hf looks for a folder with config.json that has a model_type" in said
    assert "marian looks for model*.npz or model*.bin" in said


def test_auto_does_not_choose_between_formats(t5, marian, tmp_path, capsys):
    """A folder that holds models of two formats is refused with both."""
    made = marian()
    made.folder = t5
    made.write()

    assert run(t5, "--output", tmp_path / "out") == 1

    said = capsys.readouterr().err
    assert "Hugging Face model of type 't5' (--format hf) and Marian model" in said
    assert "say which with --format" in said


def test_words_are_for_dictionaries(t5, tmp_path, capsys):
    """Other formats say themselves how texts become words, and are refused by name."""
    assert run(t5, "--output", tmp_path / "out", "--words", "spaces") == 1

    assert (
        "is hf: --words is for dictionaries, which ctranslate2, fairseq, marian, opennmt have"
        in capsys.readouterr().err
    )
