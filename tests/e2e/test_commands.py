"""The commands on the real models, as a person types them, and a server that bad input does not disturb."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dragoman.client import Client, DragomanError, Nat, Options

COMMAND = [sys.executable, "-c", "from dragoman.cli.main import main; raise SystemExit(main())"]


def dragoman(*arguments: str, text: str | None = None, code: int = 0) -> str:
    """Run the command; its standard output, or its standard error where it must fail."""
    done = subprocess.run([*COMMAND, *arguments], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def server(real_pair: list[Path]) -> Iterator[str]:
    """`dragoman serve` with both directions; it must drain and exit with 0 at Ctrl-C."""
    command = [*COMMAND, "serve", *map(str, real_pair), "--json"]
    ports = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        yield facts["listen"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_the_two_lines_of_the_readme(server):
    """One server, chosen by language pair."""
    greeting = dragoman("translate", "--server", server, "--from", "en", "--to", "pt", "Hello world!")
    farewell = dragoman("translate", "--server", server, "--from", "pt", "--to", "en", "Bom dia!")

    assert greeting == "Olá, mundo!\n"
    assert "morning" in farewell


def test_a_pipe_gives_what_arguments_give_and_a_bundle_in_process_too(server, real_pair):
    """Line by line the same, whichever way the text takes; a blank line stays blank."""
    lines = ["Hello world!", "", "Please restart your computer after installing the update. Then log in."]
    pair = ["--from", "en", "--to", "pt"]

    piped = dragoman("translate", "--server", server, *pair, text="\n".join(lines) + "\n")
    local = dragoman("translate", "--bundle", str(real_pair[0]), text="\n".join(lines) + "\n")
    beam = dragoman("translate", "--server", server, *pair, "--beam-size", "4", "--json", lines[2])

    assert piped.splitlines() == local.splitlines()
    assert piped.splitlines()[1] == ""
    assert piped.splitlines()[2].startswith("Por favor, reinicie o computador após a instalação da atualização. ")
    assert json.loads(beam.splitlines()[0])


BAD = {
    "no such model": (["Hello."], Options(model="latin"), "NOT_FOUND", "en-pt"),
    "no such pair": (["Hello."], Options(source_language="en", target_language="la"), "NOT_FOUND", "en-pt"),
    "no pair among two": (["Hello."], Options(), "", "pt"),
    "beam of nought": (["Hello."], Options(model="en-pt", beam_size=0), "INVALID_ARGUMENT", "beam_size"),
    "huge beam": (["Hello."], Options(model="en-pt", beam_size=10**6), "INVALID_ARGUMENT", "beam_size"),
    "more hypotheses than beams": (
        ["Hello."],
        Options(model="en-pt", beam_size=2, num_hypotheses=3),
        "INVALID_ARGUMENT",
        "num_hypotheses",
    ),
    "penalty not finite": (
        ["Hello."],
        Options(model="en-pt", length_penalty=float("nan")),
        "INVALID_ARGUMENT",
        "length_penalty",
    ),
    "no length": (["Hello."], Options(model="en-pt", max_length=0), "INVALID_ARGUMENT", "max_length"),
    "ten thousand texts": (["Hello."] * 10_000, Options(model="en-pt"), "INVALID_ARGUMENT", "1024"),
    "what the model lacks": (["Hello."], Options(model="en-pt", nat=Nat(passes=2)), "FAILED_PRECONDITION", "nat"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_the_next_request_is_answered(server, case):
    """Code and message say what is wrong and what exists or is allowed; the server goes on."""
    texts, options, code, words = BAD[case]
    with Client(server) as client:
        with pytest.raises(DragomanError) as caught:
            client.translate(texts, options)
        after = client.translate("Hello world!", Options(model="en-pt"))

    assert caught.value.code == code or not code
    assert words in str(caught.value)
    assert after.text == "Olá, mundo!"


@pytest.mark.parametrize(("text", "expected"), [("", ""), (" \t\n ", " \t\n ")])
def test_nothing_to_translate_comes_back_as_it_is(server, text, expected):
    """Empty and blank texts are answered, and say so."""
    with Client(server) as client:
        answer = client.translate(text, Options(model="en-pt"))

    assert answer.text == expected
    assert answer.finish_reason == "empty_input"


def test_one_enormous_word_is_refused_or_split_and_the_next_request_is_answered(server):
    """A megabyte is over the limit, which is named; what is under it is split, and given up when its caller is gone."""
    with Client(server) as client:
        with pytest.raises(DragomanError) as refused:
            client.translate("x" * 1_000_000, Options(model="en-pt"))
        with pytest.raises(DragomanError) as late:
            client.translate("x" * 100_000, Options(model="en-pt"), timeout_s=0.3)
        after = client.translate("Hello world!", Options(model="en-pt"), timeout_s=10.0)

    assert (refused.value.code, late.value.code) == ("INVALID_ARGUMENT", "DEADLINE_EXCEEDED")
    assert "1000000" in str(refused.value)
    assert "131072" in str(refused.value)
    assert after.text == "Olá, mundo!"


def change_a_byte(bundle: Path) -> None:
    weights = bundle / "weights.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


def drop_a_file(bundle: Path) -> None:
    (bundle / "step.onnx").unlink()


def rewrite_manifest(bundle: Path, old: str, new: str) -> None:
    path = bundle / "manifest.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a changed byte": (change_a_byte, "weights.bin"),
    "a missing file": (drop_a_file, "step.onnx"),
    "a path that leaves": (lambda b: rewrite_manifest(b, '"encoder.onnx"', '"../encoder.onnx"'), "../encoder.onnx"),
    "a newer format": (lambda b: rewrite_manifest(b, '"format_version": ', '"format_version": 99'), "99"),
}


@pytest.mark.parametrize("command", ["serve", "inspect"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_bundle_is_not_opened(real_pair, tmp_path, command, case):
    """The command ends with 1 and says what is wrong with which file."""
    spoil, words = BROKEN[case]
    bundle = tmp_path / "bundle"
    shutil.copytree(real_pair[0], bundle)
    spoil(bundle)

    assert words in dragoman(command, str(bundle), code=1)


def test_inspect_shows_the_proof(real_pair):
    """What export measured is in the bundle, and for programs as JSON."""
    page = dragoman("inspect", str(real_pair[0]))
    facts = json.loads(dragoman("inspect", str(real_pair[0]), "--json"))

    assert "MPL-2.0" in page
    assert "steps and full pass" in page
    assert "en-pt" in json.dumps(facts)


def test_evaluate_prints_both_precisions(real_pair, real_fp32, data):
    """One command scores two bundles on the same lines: int8 costs less than a point on a few."""
    source, reference = str(data / "dev.en"), str(data / "dev.pt")
    bundles = ["--bundle", str(real_fp32.directory), "--bundle", str(real_pair[0])]

    found = json.loads(
        dragoman("evaluate", *bundles, "--source", source, "--reference", reference, "--lines", "60", "--json")
    )

    scores = [one["bleu"] for one in (found["bundles"] if isinstance(found, dict) else found)]
    assert len(scores) == 2
    assert min(scores) > 45
    assert abs(scores[0] - scores[1]) < 2


def test_help_lists_only_what_works():
    """Every command that the help names answers to --help."""
    page = dragoman("--help")
    names = [line.split()[0] for line in page.splitlines() if line.startswith("    ") and line.strip()]
    commands = [name for name in names if name.isalpha()]

    assert {"serve", "export", "translate", "score", "inspect", "evaluate"} <= set(commands)
    for command in {"serve", "export", "translate", "score", "inspect", "evaluate"}:
        assert "--" in dragoman(command, "--help")
