"""Options from four sources."""

import argparse
from pathlib import Path

import pytest

from dragoman.server.app.option_parsing import add_flags, declared, load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core.errors import StartError

PAGE = Path(__file__).parents[3] / "server/reference/options.md"


def parsed(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_flags(parser, ServeOptions)
    return vars(parser.parse_args(arguments))


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Each value says where it came from."""
    file = tmp_path / "options.toml"
    file.write_text('max-batch = 1\nmax-texts = 2\nmax-beam-size = 3\nbundles = ["a", "b"]\n')
    flags = parsed("--max-batch", "11", "--config", str(file))

    loaded = load(ServeOptions, flags, {"DRAGOMAN_MAX_BATCH": "21", "DRAGOMAN_MAX_TEXTS": "22"})

    options = loaded.values
    assert (options.max_batch, options.max_texts, options.max_beam_size) == (11, 22, 3)
    assert (options.bundles, options.backlog_tokens) == (("a", "b"), 65_536)
    assert [loaded.origins[name] for name in ("max_batch", "max_texts", "max_beam_size", "backlog_tokens")] == [
        "--max-batch",
        "DRAGOMAN_MAX_TEXTS",
        f"{file}: max-beam-size",
        "default",
    ]


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--max-batch", "many"], {}, r"--max-batch: 'many' is not a whole number, 0 to 4096"),
        (["--max-batch", "-1"], {}, r"--max-batch: '-1' is not a whole number, 0 to 4096"),
        (["--lanes="], {}, r"--lanes: '' is not a whole number"),
        ([], {"DRAGOMAN_LANES": "2.5"}, r"DRAGOMAN_LANES: '2.5' is not a whole number"),
        ([], {"DRAGOMAN_DRAIN_GRACE_S": "nan"}, r"DRAGOMAN_DRAIN_GRACE_S: 'nan' is not a number"),
        ([], {"DRAGOMAN_DRAIN_GRACE_S": "-1"}, r"DRAGOMAN_DRAIN_GRACE_S: '-1' is not a number, 0 to 86400"),
        ([], {"DRAGOMAN_LOG_FORMAT": "xml"}, r"DRAGOMAN_LOG_FORMAT: 'xml' is not one of text, json"),
        (["--listen", "50051"], {}, r"--listen: '50051' is not HOST:PORT"),
        (["--listen", "localhost:70000"], {}, r"--listen: 'localhost:70000' is not HOST:PORT"),
        (["--listen", "http://localhost:1"], {}, r"--listen: .* is not HOST:PORT"),
        (["--traces", "foo"], {}, r"--traces: 'foo' is not a URL of HTTP, such as http://"),
        (["--traces", "localhost:4318"], {}, r"--traces: 'localhost:4318' is not a URL"),
        (["--traces", "ftp://localhost/"], {}, r"--traces: .* is not a URL"),
        (["--traces", "http://:4318/v1/traces"], {}, r"--traces: .* is not a URL"),
        (["--traces", "http://[::1/v1/traces"], {}, r"--traces: .* is not a URL"),
        (["--traces", "http://localhost:99999/"], {}, r"--traces: .* is not a URL"),
    ],
)
def test_malformed_values_name_their_source(arguments: list[str], environ: dict[str, str], message: str) -> None:
    """A value that is wrong is an error that says where it stands and what would be right, never a default."""
    with pytest.raises(StartError, match=message):
        load(ServeOptions, parsed(*arguments), environ)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("max-bach = 1", "unknown option max-bach; options are bundles, models"),
        ("max-batch = true", "max-batch: True is not a whole number"),
        ("max-batch = 1.5", "max-batch: 1.5 is not a whole number"),
        ("bundles = [1]", "bundles: .* is not a list of texts"),
        ("listen = 1", "listen: 1 is not a text"),
        ("max-batch", "not TOML"),
    ],
)
def test_mistakes_in_the_file_are_errors(tmp_path: Path, content: str, message: str) -> None:
    """Unknown keys and values of another type are refused with the file's name."""
    file = tmp_path / "options.toml"
    file.write_text(content)

    with pytest.raises(StartError, match=message) as refused:
        load(ServeOptions, parsed("--config", str(file)), {})

    assert str(refused.value).startswith(str(file))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Also when the environment names it."""
    with pytest.raises(StartError, match=r"none\.toml: cannot be read: No such file"):
        load(ServeOptions, parsed(), {"DRAGOMAN_CONFIG": str(tmp_path / "none.toml")})


def test_variables_of_others_are_left_alone() -> None:
    """Kubernetes sets such variables for a Service called dragoman; none of them is the twin of an option."""
    environ = {
        "DRAGOMAN_PORT": "tcp://10.0.0.1:50051",
        "DRAGOMAN_SERVICE_HOST": "10.0.0.1",
        "DRAGOMAN_SERVICE_PORT": "1",
    }

    assert load(ServeOptions, parsed(), environ).values == load(ServeOptions, parsed(), {}).values


def test_what_is_printed_is_a_file_that_gives_the_same_options(tmp_path: Path) -> None:
    """`--print-config` can be saved and used."""
    loaded = load(
        ServeOptions, parsed("one", 'two "quoted" \\', "3\nlines\t\x7f😀", "--lanes", "3", "--drain-grace-s", "1.5"), {}
    )
    file = tmp_path / "options.toml"
    file.write_text(str(loaded))

    assert load(ServeOptions, parsed("--config", str(file)), {}).values == loaded.values


def test_every_flag_has_help_with_its_facts() -> None:
    """Help, default and variable of each option are in `--help`."""
    parser = argparse.ArgumentParser()
    add_flags(parser, ServeOptions)
    text = " ".join(parser.format_help().split())

    for one in declared(ServeOptions):
        assert one.meta.help.split()[0] in text
        assert one.variable in text


def test_the_reference_has_the_options() -> None:
    """The table of the page is the declaration."""
    rows = [
        f"| `{one.flag}` | `{one.variable}` | {one.default_text} | {one.meta.unit} | {one.bounds} | {one.meta.help} |"
        for one in declared(ServeOptions)
    ]

    assert "\n".join(rows) in PAGE.read_text("utf-8"), "\n".join(rows)
