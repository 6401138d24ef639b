"""Which server a command calls."""

import argparse

import pytest

from dragoman.client.channel import DEFAULT_SERVER
from dragoman.client.commands.server_argument import register, server_of


@pytest.mark.parametrize(
    ("line", "variable", "server"),
    [(["--server", "a:1"], "b:2", "a:1"), ([], "b:2", "b:2"), ([], "", DEFAULT_SERVER), ([], None, DEFAULT_SERVER)],
)
def test_the_argument_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, line: list[str], variable: str | None, server: str
) -> None:
    """And the environment over the default; an empty variable is as good as none."""
    monkeypatch.delenv("DRAGOMAN_SERVER", raising=False)
    if variable is not None:
        monkeypatch.setenv("DRAGOMAN_SERVER", variable)
    parser = argparse.ArgumentParser()
    register(parser)

    assert server_of(parser.parse_args(line).server) == server


def test_the_help_names_both() -> None:
    """Where to look when the wrong server answers."""
    parser = argparse.ArgumentParser()
    register(parser.add_argument_group("where"))

    assert "DRAGOMAN_SERVER" in parser.format_help()
    assert DEFAULT_SERVER in parser.format_help()
