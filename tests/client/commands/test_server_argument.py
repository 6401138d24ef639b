"""Which server a command calls."""

import argparse
from pathlib import Path

import pytest

from dragoman.client.channel import DEFAULT_SERVER
from dragoman.client.commands.server_argument import connection_of, register, server_of
from dragoman.client.errors import InvalidRequest


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


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["--tls-key", "k"], "go together"),
        (["--tls-certificate", "c"], "go together"),
        (["--server", "example", "--token-file", "TOKEN"], r"in plain text: pass credentials, too \(--tls, --tls-ca\)"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, line: list[str], reason: str) -> None:
    """Before anything is sent."""
    (tmp_path / "token").write_text("secret\n")
    parser = argparse.ArgumentParser()
    register(parser)

    with pytest.raises(InvalidRequest, match=reason):
        connection_of(parser.parse_args([str(tmp_path / "token") if word == "TOKEN" else word for word in line]))


@pytest.mark.parametrize("line", [["--tls"], ["--tls-ca", "CA"], ["--tls", "--server", "example"], []])
def test_a_connection_is_encrypted_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    """A token alone does not encrypt, and stays on this machine."""
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----")
    monkeypatch.setenv("DRAGOMAN_TOKEN", "secret" if not line else "")
    parser = argparse.ArgumentParser()
    register(parser)

    made = connection_of(parser.parse_args([str(tmp_path / "ca") if word == "CA" else word for word in line]))
    assert made.credentials is not None
