"""A model that copies from its source: text that no vocabulary has comes out as it went in."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceTrainer

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Recurrent, Tokenizer
from dragoman.bundle.reader import Bundle
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.export import export
from dragoman.export.network.load import checkpoint_weights, load_network
from dragoman.export.network.recurrent import network_of
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import DecodingOverrides, Output, Request
from dragoman.server.core.segments import Segment
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling

WORDS, EOS, UNK, START = 64, 0, 1, 2
KNOWN = [f"word{n}" for n in range(WORDS - 3)]
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"heads": 0, "ffn": 0, "decoder": "lstm", "recurrent": Recurrent(16, 16, 16, 32, attention="general")},
    "self-attention": {"heads": 4, "ffn": 24},
}


def write_words(path) -> None:
    """A vocabulary of whole words, without bytes for others."""
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter([" ".join(KNOWN)]),
            model_writer=file,
            model_type="word",
            vocab_size=WORDS,
            eos_id=EOS,
            unk_id=UNK,
            bos_id=START,
            pad_id=-1,
            minloglevel=2,
        )


def checkpoint(kind: str, directory) -> Checkpoint:
    """A random model that copies about as often as not."""
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS, "tying": "none", "embedding_scale": 6.0}
    arch = Architecture(**{**sizes, **words, "copies": True, **KINDS[kind]})
    torch.manual_seed(4)
    network = network_of(arch).requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    network.output_embedding *= 3
    write_words(directory / "words.spm")
    return Checkpoint(
        name=f"copying-{kind}",
        pairs=(LanguagePair("en", "pt"),),
        architecture=arch,
        weights=checkpoint_weights(network),
        quantized={},
        tokenizer=Tokenizer("sentencepiece", "words.spm", "words.spm", EOS, UNK, START, hidden_ids=(EOS, UNK, START)),
        tokenizer_files={"words.spm": directory / "words.spm"},
        decoding=Decoding(max_length=12),
        limits=Limits(64, 64),
        source_format="random",
        source_files=(),
    )


@pytest.fixture(scope="module")
def copying(tmp_path_factory, shared_traces) -> tuple[Checkpoint, Bundle]:
    directory = tmp_path_factory.mktemp("copying")
    made = checkpoint("lstm", directory)
    return made, export(made, directory / "bundle", precision="fp32", progress=lambda _: None)


def segments(count: int, **options: Any) -> list[Segment]:
    """Sources of 1 to 40 words, a third of which the vocabulary lacks, some of them twice."""
    rng = np.random.default_rng(7)
    made = []
    for length in rng.integers(1, 41, count).tolist():
        names = rng.integers(0, max(1, length // 2), length)  # which of so many names, where it is one
        lacks = rng.random(length) < 0.3
        ids = [*np.where(lacks, UNK, rng.integers(3, WORDS, length)).tolist(), EOS]
        first: dict[int, int] = {}
        copies = [WORDS + first.setdefault(names[n], n) if lacks[n] else ids[n] for n in range(length)]
        decoding = Decoding(**{"max_length": 12, **options.get("decoding", {})})
        made.append(
            Segment(tuple(ids), decoding, copies=(*copies, EOS), strategy=options.get("strategy", Segment.strategy))
        )
    return made


STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam": {"decoding": {"beam_size": 4, "num_hypotheses": 4}},
    "sample": {"decoding": {"num_hypotheses": 3}, "strategy": Sampling(3)},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_batch_changes_nothing(copying, decoder, name):
    """Sources of other lengths, and so with other ids beyond the vocabulary, do not show in one another's outputs."""
    many = segments(24, **STRATEGIES[name])
    lanes = decoder(copying[1], max_batch=5)

    together = lanes.together(many)

    assert [a.hypotheses for a in together] == [a.hypotheses for a in lanes.one_by_one(many)]
    assert any(word >= WORDS for a in together for h in a.hypotheses for word in h.ids), "nothing was copied"
    assert any(word < WORDS for a in together for h in a.hypotheses for word in h.ids), "everything was copied"


def test_greedy_search_is_that_of_the_network(copying, decoder):
    """Ids and scores are those of teacher-forced passes of the torch network, which reads copies as unknown words."""
    network = load_network(copying[0])
    one_by_one = segments(8)

    for segment, answer in zip(one_by_one, decoder(copying[1]).together(one_by_one), strict=True):
        source, mask = torch.tensor([segment.ids]), torch.zeros(1, 1, 1, len(segment.ids))
        (best,) = answer.hypotheses
        read = torch.tensor([[START, *(UNK if word >= WORDS else word for word in best.ids)]])
        with torch.inference_mode():
            logp = network.full(read, network.memory(source, mask), mask, torch.tensor([segment.copies]))[0]
            logp[:, UNK] = -torch.inf
        assert logp.argmax(-1).tolist()[: len(best.ids)] == list(best.ids)
        assert logp.amax(-1)[: len(best.token_logps)].tolist() == pytest.approx(best.token_logps, abs=1e-4)


def test_a_score_is_what_decoding_reported(copying, decoder):
    """Copies are scored like words: forced, they have the log-probability that they were put out with."""
    lanes, many = decoder(copying[1]), segments(8, **STRATEGIES["beam"])
    decoded = [(s, h) for s, answer in zip(many, lanes.together(many), strict=True) for h in answer.hypotheses]

    again = lanes.together([dataclasses.replace(s, strategy=Forced(h.ids)) for s, h in decoded])

    for (_, h), answer in zip(decoded, again, strict=True):
        assert answer.hypotheses[0].token_logps[: len(h.token_logps)] == pytest.approx(h.token_logps, abs=1e-4)


def test_float16_is_served_on_a_processor_with_a_warning(copying, decoder, tmp_path, caplog):
    """The bundle is half as large, its outputs are near, and the log says at the start that it is slow here."""
    bundle = export(copying[0], tmp_path / "bundle", precision="fp16", progress=lambda _: None)
    many = segments(12)

    with caplog.at_level("WARNING", "dragoman"):
        lanes = decoder(bundle)

    together, exact = lanes.together(many), decoder(copying[1]).together(many)
    assert [a.hypotheses for a in together] == [a.hypotheses for a in lanes.one_by_one(many)]
    firsts = [
        (a.hypotheses[0].token_logps[0], b.hypotheses[0].token_logps[0]) for a, b in zip(together, exact, strict=True)
    ]
    assert [near for near, _ in firsts] == pytest.approx([far for _, far in firsts], abs=0.02)
    ours = [record for record in caplog.records if record.name.startswith("dragoman")]
    assert [(record.levelname, record.message) for record in ours] == [("WARNING", "fp16_is_slow_on_cpu")]


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    """A model of the other family that generates nothing, and so can only copy."""
    directory = tmp_path_factory.mktemp("only-copying")
    made = checkpoint("self-attention", directory)
    made.weights["pointer.bias"] = np.array([-50.0], np.float32)
    made.weights["pointer.gate"] = np.zeros_like(made.weights["pointer.gate"])
    bundle = export(made, directory / "bundle", precision="fp32", progress=lambda _: None)
    with LocalTranslator(bundle.directory, threads=1) as local:
        yield local


def test_an_unknown_name_is_copied(translator):
    """Names that the vocabulary lacks come out as the source's own text, which is more than that of unknown words."""
    found = translator.translate(["Ángström-Żółć Quuxly"], DecodingOverrides(min_length=2, max_length=3))

    words = found[0].text.split(" ")
    assert set(words) <= {"Ángström-Żółć", "Quuxly"}
    assert len(words) >= 2


def test_copies_are_aligned_and_named(translator):
    """A copy's alignment is to its source word among others, and its token names the source token."""
    request = Request(
        ("Quuxly",), DecodingOverrides(min_length=1, max_length=1), output=Output(token_scores=True, alignments=True)
    )

    (translation,) = translator.outcomes(request)

    (hypothesis,) = translation.hypotheses
    assert (hypothesis.text, hypothesis.tokens[0].token) == ("Quuxly", "<copy:0>")
    assert [(a.source, a.target) for a in hypothesis.alignments] == [((0, 6), (0, 6))]


def test_a_given_translation_is_scored_with_its_copies(translator):
    """Of two translations that are the same to the vocabulary, the one with the source's name is the probable one."""
    same, other = translator.outcomes(Request(("Quuxly", "Quuxly"), targets=("Quuxly", "Otherly")))

    assert same.hypotheses[0].log_probability > -20
    assert other.hypotheses[0].log_probability < -40
