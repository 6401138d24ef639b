"""fairseq's Transformers with every option, against a plain forward pass that is written down here.

The forward pass reads a state dictionary under fairseq's own names, in left-padded batches, and computes what fairseq
documents: positions that count words and not padding, attention without a cache, no tricks.
`make test-fairseq` compares the same options with fairseq itself.
"""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.export import export
from dragoman.export.graphs.running import padded
from dragoman.export.importers.fairseq.importer import read_fairseq
from dragoman.export.network.load import load_network
from dragoman.export.network.nat import decoder_of
from dragoman.export.proof.stepping import Stepper
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes

PAD, END = 1, 2
LENGTHS = (1, 9, 4)
TOLERANCE = 1e-4


class Plain:
    """A model's forward pass from its options and tensors. Slow and obvious."""

    def __init__(self, options, tensors):
        self.o, self.w = options, tensors

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def activation(self, x):
        return {
            "relu": lambda: x.clamp(min=0),
            "relu_squared": lambda: x.clamp(min=0) ** 2,
            "gelu": lambda: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
            "gelu_accurate": lambda: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
            "gelu_fast": lambda: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
            "swish": lambda: x * torch.sigmoid(x),
            "tanh": lambda: torch.tanh(x),
            "linear": lambda: x,
        }[self.o["activation_fn"]]()

    def position(self, side, ids):
        """Words are numbered from 2, wherever the padding is; padding is number 1."""
        if self.o.get("no_token_positional_embeddings"):
            return 0
        is_word = ids.ne(PAD).long()
        numbers = is_word.cumsum(1) * is_word + PAD
        if self.o[f"{side}_learned_pos"]:
            return self.w[f"{side}.embed_positions.weight"][numbers]
        d = self.o[f"{side}_embed_dim"]
        half = d // 2
        table = torch.zeros(int(numbers.max()) + 1, d)
        for p in range(2, len(table)):
            for i in range(half):
                angle = p * math.exp(-i * math.log(10000) / (half - 1))
                table[p, i], table[p, half + i] = math.sin(angle), math.cos(angle)
        return table[numbers]

    def embed(self, side, ids):
        d = self.o[f"{side}_embed_dim"]
        x = self.w[f"{side}.embed_tokens.weight"][ids] * (1 if self.o["no_scale_embedding"] else math.sqrt(d))
        if f"{side}.project_in_dim.weight" in self.w:
            x = self.linear(f"{side}.project_in_dim", x)
        x = x + self.position(side, ids)
        return self.norm(f"{side}.layernorm_embedding", x) if self.o["layernorm_embedding"] else x

    def attention(self, name, heads, x, memory, closed):
        q, k, v = (self.linear(f"{name}.{p}_proj", y) for p, y in (("q", x), ("k", memory), ("v", memory)))
        q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v))
        scores = (q @ k.transpose(2, 3)) / math.sqrt(q.shape[-1])
        y = scores.masked_fill(closed, -math.inf).softmax(-1) @ v
        return self.linear(f"{name}.out_proj", y.transpose(1, 2).flatten(2))

    def sublayer(self, side, norm, x, part):
        if self.o[f"{side}_normalize_before"]:
            return x + part(self.norm(norm, x))
        return self.norm(norm, x + part(x))

    def feed_forward(self, layer, x):
        return self.linear(f"{layer}.fc2", self.activation(self.linear(f"{layer}.fc1", x)))

    def finish(self, side, x):
        return self.norm(f"{side}.layer_norm", x) if f"{side}.layer_norm.weight" in self.w else x

    def encode(self, ids):
        is_padding = ids.eq(PAD)
        closed = is_padding[:, None, None]
        x = self.embed("encoder", ids) * ~is_padding.unsqueeze(-1)
        for n in range(self.o["encoder_layers"]):
            at, heads = f"encoder.layers.{n}", self.o["encoder_attention_heads"]
            x = self.sublayer(
                "encoder",
                f"{at}.self_attn_layer_norm",
                x,
                lambda y, at=at, heads=heads: self.attention(f"{at}.self_attn", heads, y, y, closed),
            )
            x = self.sublayer("encoder", f"{at}.final_layer_norm", x, lambda y, at=at: self.feed_forward(at, y))
        return self.finish("encoder", x), closed

    @torch.inference_mode()
    def logits(self, sources, read):
        """Of all words [B, T, V]; sources of any lengths are padded on the left, as fairseq does."""
        longest = max(map(len, sources))
        ids = torch.tensor([[PAD] * (longest - len(source)) + source for source in sources])
        memory, closed = self.encode(ids)
        later = torch.ones(read.shape[1], read.shape[1], dtype=torch.bool).triu(1)
        return self.decode(self.embed("decoder", read), memory, closed, later)

    def decode(self, x, memory, closed, later):
        for n in range(self.o["decoder_layers"]):
            at, heads = f"decoder.layers.{n}", self.o["decoder_attention_heads"]
            for name, norm, mask in (("self_attn", "self_attn_layer_norm", later), ("encoder_attn", None, closed)):
                x = self.sublayer(
                    "decoder",
                    f"{at}.{norm or 'encoder_attn_layer_norm'}",
                    x,
                    lambda y, at=at, name=name, mask=mask, heads=heads: self.attention(
                        f"{at}.{name}", heads, y, memory if name == "encoder_attn" else y, mask
                    ),
                )
            x = self.sublayer("decoder", f"{at}.final_layer_norm", x, lambda y, at=at: self.feed_forward(at, y))
        x = self.finish("decoder", x)
        if "decoder.project_out_dim.weight" in self.w:
            x = self.linear("decoder.project_out_dim", x)
        return self.linear("decoder.output_projection", x)


CASES = {
    "post-norm, nothing shared": {},
    "pre-norm, all shared": {
        "encoder_normalize_before": True,
        "decoder_normalize_before": True,
        "share_all_embeddings": True,
    },
    "pre-norm encoder": {"encoder_normalize_before": True, "share_decoder_input_output_embed": True},
    "pre-norm decoder": {"decoder_normalize_before": True, "activation_fn": "gelu"},
    "pre-norm decoder without a final norm": {"decoder_normalize_before": True, "no_decoder_final_norm": True},
    "learned positions": {"encoder_learned_pos": True, "decoder_learned_pos": True},
    "learned positions of the encoder": {"encoder_learned_pos": True},
    "learned positions of the decoder": {"decoder_learned_pos": True, "activation_fn": "swish"},
    "no positions": {"no_token_positional_embeddings": True},
    "as BART": {
        "layernorm_embedding": True,
        "no_scale_embedding": True,
        "encoder_learned_pos": True,
        "decoder_learned_pos": True,
        "share_all_embeddings": True,
        "activation_fn": "gelu",
    },
    "gelu_accurate": {"activation_fn": "gelu_accurate"},
    "gelu_fast": {"activation_fn": "gelu_fast"},
    "relu_squared": {"activation_fn": "relu_squared"},
    "tanh": {"activation_fn": "tanh"},
    "linear": {"activation_fn": "linear"},
    "wider encoder": {"encoder_embed_dim": 18, "encoder_normalize_before": True},
    "narrower encoder, learned": {
        "encoder_embed_dim": 6,
        "encoder_learned_pos": True,
        "decoder_learned_pos": True,
        "layernorm_embedding": True,
    },
    "wider encoder, unscaled": {"encoder_embed_dim": 15, "no_scale_embedding": True},
    "projected words": {"decoder_input_dim": 7, "decoder_output_dim": 5},
    "projected words that are shared": {
        "decoder_input_dim": 7,
        "decoder_output_dim": 7,
        "share_decoder_input_output_embed": True,
    },
    "odd width, other sizes": {
        "encoder_embed_dim": 15,
        "decoder_embed_dim": 15,
        "encoder_attention_heads": 5,
        "decoder_attention_heads": 3,
        "encoder_layers": 3,
        "decoder_layers": 1,
    },
}


def some_words(options, tensors, lengths=LENGTHS, steps=7):
    """Sources with their ends, and what the decoder reads after its start."""
    rng = np.random.default_rng(5)
    rows = [len(tensors[f"{side}.embed_tokens.weight"]) for side in ("encoder", "decoder")]
    sources = [[*map(int, rng.integers(3, rows[0], n - 1)), END] for n in lengths]
    read = torch.from_numpy(rng.integers(3, rows[1], (len(lengths), steps)))
    read[:, 0] = END
    return sources, read


@torch.inference_mode()
def ours(checkpoint, sources, read):
    network = load_network(checkpoint)
    ids, mask = (torch.from_numpy(a) for a in padded(sources))
    return network.full(read, network.memory(ids, mask), mask)


def assert_same(model, checkpoint, plain=None, **words):
    sources, read = some_words(model.options, model.tensors, **words)
    expected = (plain or Plain(model.options, model.tensors)).logits(sources, read)
    torch.testing.assert_close(ours(checkpoint, sources, read), expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert expected.std() > 0.3, "logits that hardly differ prove nothing"


@pytest.mark.parametrize("name", CASES)
def test_every_option_computes_what_fairseq_documents(fairseq, name):
    """A left-padded batch with a source of the end alone, teacher-forced: logits within 1e-4."""
    model = fairseq(**CASES[name])

    checkpoint = read_fairseq(model.write(), None, None)

    assert_same(model, checkpoint)


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_a_configuration_says_what_a_namespace_says(fairseq, form):
    """Every option in either form gives the same architecture, tokenizer and weights."""
    model = fairseq(**CASES["as BART"], encoder_attention_heads=6)
    first = read_fairseq(model.write(), None, None)

    second = read_fairseq(model.write(form, name="other.pt"), None, None)  # the first may be mapped into memory

    assert (second.architecture, second.tokenizer, second.pairs) == (first.architecture, first.tokenizer, first.pairs)
    assert all(np.array_equal(second.weights[name], weight) for name, weight in first.weights.items())


def test_files_of_the_older_form_are_read(fairseq):
    """What PyTorch wrote before 1.6 holds the same."""
    model = fairseq()

    checkpoint = read_fairseq(model.write(_use_new_zipfile_serialization=False), None, None)

    assert_same(model, checkpoint)


@pytest.mark.parametrize("shared", [False, True])
def test_names_of_earlier_versions(fairseq, shared):
    """Attention in one matrix, numbered norms, an output layer called embed_out, or none where it is shared."""
    model = fairseq(share_decoder_input_output_embed=shared)
    plain = Plain(model.options, dict(model.tensors))
    old = {}
    for name, tensor in model.tensors.items():
        if ".self_attn.q_proj." in name or ".encoder_attn.q_proj." in name:
            parts = [model.tensors[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            old[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            numbers = ("self_attn", "encoder_attn", "final") if name.startswith("decoder") else ("self_attn", "final")
            for n, norm in enumerate(numbers):
                name = name.replace(f".{norm}_layer_norm.", f".layer_norms.{n}.")
            old[name] = tensor
    output = old.pop("decoder.output_projection.weight")
    if not shared:
        old["decoder.embed_out"] = output
    old |= {
        "encoder.embed_positions._float_tensor": torch.ones(1),
        "decoder.embed_positions.weights": torch.ones(9, 12),
    }
    model.tensors = old

    checkpoint = read_fairseq(model.write(), None, None)

    assert_same(model, checkpoint, plain)


@pytest.mark.parametrize(
    ("encoder", "decoder"), [(None, None), (1, 1), (1, 2), (2, 2), (1, 3), (3, 2)], ids=lambda v: f"{v}"
)
def test_early_versions_had_no_final_norms(fairseq, encoder, decoder):
    """Up to version 1 of the encoder and 2 of the decoder, pre-norm stacks ended in their last layer's sum."""
    model = fairseq(encoder_normalize_before=True, decoder_normalize_before=True)
    for side, version, last in (("encoder", encoder, 1), ("decoder", decoder, 2)):
        model.tensors[f"{side}.version"] = torch.tensor([float(version or 1)])
        if version is None:
            del model.tensors[f"{side}.version"]
        if version is None or version <= last:
            for kind in ("weight", "bias"):
                del model.tensors[f"{side}.layer_norm.{kind}"]

    checkpoint = read_fairseq(model.write(), None, None)

    assert_same(model, checkpoint)


@pytest.mark.parametrize("is_pruned", [False, True])
def test_layers_to_keep(fairseq, is_pruned):
    """Of four layers, the second and the fourth: whether the file still has the others, or not any more."""
    model = fairseq(encoder_layers=4)
    kept = {"1": "0", "3": "1"}
    left = {}
    for name, tensor in model.tensors.items():
        part, _, rest = name.partition("encoder.layers.")
        if not rest:
            left[name] = tensor
        elif rest[0] in kept:
            left[f"{part}encoder.layers.{kept[rest[0]]}{rest[1:]}"] = tensor
    plain = Plain({**model.options, "encoder_layers": 2}, left)
    model.options |= {"encoder_layers_to_keep": "1,3"}
    if is_pruned:
        model.tensors = left

    checkpoint = read_fairseq(model.write(), None, None)

    assert checkpoint.architecture.encoder_layers == 2
    assert_same(model, checkpoint, plain)


def test_half_precision_files(fairseq):
    """Weights that were saved in float16 are those numbers in float32."""
    model = fairseq()
    model.tensors = {name: tensor.half() for name, tensor in model.tensors.items()}
    plain = Plain(model.options, {name: tensor.float() for name, tensor in model.tensors.items()})

    checkpoint = read_fairseq(model.write(), None, None)

    assert_same(model, checkpoint, plain)


def test_sources_longer_than_targets_may_be(fairseq):
    """Sides with different numbers of trained positions keep their own limits, and every position its own vector."""
    model = fairseq(encoder_learned_pos=True, decoder_learned_pos=True)

    checkpoint = read_fairseq(model.write(), None, None)

    assert (checkpoint.limits.max_source_tokens, checkpoint.limits.max_target_tokens) == (40, 32)
    assert_same(model, checkpoint, lengths=(40, 3), steps=32)


def test_the_embeddings_that_are_tied_are_those_with_the_same_numbers(fairseq):
    """Whatever is shared is stored once."""
    tyings = [
        read_fairseq(fairseq(**options).write(), None, None).architecture.tying
        for options in ({}, {"share_decoder_input_output_embed": True}, {"share_all_embeddings": True})
    ]

    assert tyings == ["none", "decoder", "all"]


@pytest.mark.parametrize(("layer", "heads", "expected"), [(1, 1, 0), (0, 1, None), (1, 2, None), (None, None, None)])
def test_heads_that_were_trained_to_align(fairseq, layer, heads, expected):
    """The last layer's single head is used; what cannot be is said in a note."""
    model = fairseq(arch="transformer_align", alignment_layer=layer, alignment_heads=heads)

    checkpoint = read_fairseq(model.write(), None, None)

    assert checkpoint.architecture.alignment_head == expected
    has_note = any("alignment_layer" in note for note in checkpoint.notes)
    assert has_note == (layer is not None and expected is None)


def whole(plain, source, x):
    """Logits of a canvas whose every place sees every other, for one source."""
    memory, closed = plain.encode(torch.tensor([source]))
    x = x(memory) if callable(x) else x
    return plain.decode(x, memory, closed, torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool))[0]


def of_network(checkpoint, source, make):
    """The same, and what the canonical decoder says of lengths."""
    network = load_network(checkpoint)
    [kind] = checkpoint.nat
    decoder = decoder_of(network, kind)
    ids, mask = (torch.from_numpy(a) for a in padded([source]))
    places = torch.arange(len(source))[None]
    hidden = network.encode(ids[0], places[0], places[0], places, mask)
    x = make(decoder, network, hidden, places)
    shape = 1, len(x)
    closed = torch.zeros(1, 1, 1, len(x))
    rows = decoder.run(x, shape, closed, decoder.memory(hidden, places), mask)
    lengths = decoder.length_logits(hidden, places, mask) if checkpoint.nat[kind].length_classes else None
    return decoder.logits(network, rows), lengths


NAT = {"task": "translation_lev", "share_all_embeddings": True, "decoder_normalize_before": True}
SOURCE = [0, 9, 14, 5, 27, END]


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("nonautoregressive_transformer", {"pred_length_offset": True}),
        ("glat_base", {"src_embedding_copy": True, "decoder_learned_pos": True, "encoder_learned_pos": True}),
        ("cmlm_transformer_wmt_en_de", {"sg_length_pred": True}),
    ],
)
@torch.inference_mode()
def test_mask_predict(fairseq, arch, options):
    """Words at all places, and the lengths: a canvas of masks, or of the source's words at an even pace."""
    model = fairseq(arch=arch, **NAT, **options)
    model.tensors["decoder.embed_length.weight"] = torch.randn(256, 12)
    plain = Plain(model.options, model.tensors)
    canvas = torch.tensor([[0, 3, 3, 3, 3, 3, 3, 3, END]])

    checkpoint = read_fairseq(model.write(), None, None)

    copied = torch.tensor([[SOURCE[round(i * 5 / 8)] for i in range(9)]])
    [nat] = checkpoint.nat.values()
    assert (nat.kind, nat.mask_id, nat.first_id, nat.last_id, nat.length_classes) == ("mask-predict", 3, 0, 2, 256)
    assert nat.length_offset == bool(options.get("pred_length_offset"))
    assert nat.passes == (10 if "cmlm" in arch else 1)
    assert checkpoint.tokenizer.prefix == (0,)
    for read in (canvas, *((copied,) if options.get("src_embedding_copy") else ())):
        assert nat.canvas == ("source" if options.get("src_embedding_copy") else "masks")
        x = plain.embed("decoder", read) - plain.position("decoder", read) + plain.position("decoder", canvas)
        logits, lengths = of_network(checkpoint, SOURCE, lambda d, n, *_, read=read: d.embed(n, read))
        torch.testing.assert_close(logits, whole(plain, SOURCE, x), atol=TOLERANCE, rtol=TOLERANCE)
        mean = plain.encode(torch.tensor([SOURCE]))[0].mean(1)
        torch.testing.assert_close(lengths, mean @ model.tensors["decoder.embed_length.weight"].T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("is_split", [False, True])
@torch.inference_mode()
def test_ctc(fairseq, is_split):
    """A canvas of two places for each source word: masks, or vectors that a matrix makes of the encoder's."""
    model = fairseq(arch="glat_ctc", src_upsample_scale=2, **NAT)
    if is_split:
        model.tensors |= {"decoder.upsampler.weight": torch.randn(24, 12), "decoder.upsampler.bias": torch.randn(24)}
    plain = Plain(model.options, model.tensors)
    masks = torch.full((1, 2 * len(SOURCE)), 3)

    checkpoint = read_fairseq(model.write(), None, None)

    def split(memory):
        made = plain.linear("decoder.upsampler", memory).reshape(1, 2 * len(SOURCE), 12)
        return made + plain.position("decoder", masks)

    x = split if is_split else plain.embed("decoder", masks)
    logits, _ = of_network(checkpoint, SOURCE, lambda d, n, hidden, places: d.upsample(n, hidden, places))
    torch.testing.assert_close(logits, whole(plain, SOURCE, x), atol=TOLERANCE, rtol=TOLERANCE)
    assert (checkpoint.nat["ctc"].blank_id, checkpoint.nat["ctc"].upsample) == (3, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length_loss_factor": 0}, "lengths were not trained"),
        ({"dynamic_upsample": True}, "whose length the source's words decide"),
        ({"early_exit": "3,3,3"}, "layers that some passes leave out"),
        ({"arch": "iterative_nonautoregressive_transformer"}, "reads its own output again"),
        ({"src_embedding_copy": True, "share_all_embeddings": False}, "needs one vocabulary"),
        ({"layernorm_embedding": True}, "norms of embeddings"),
    ],
)
def test_decoders_without_autoregression_that_are_refused(fairseq, options, said):
    """By name."""
    model = fairseq(**{"arch": "nonautoregressive_transformer", **NAT, **options})
    model.tensors["decoder.embed_length.weight"] = torch.randn(256, 12)

    with pytest.raises(UnsupportedModel, match=said):
        read_fairseq(model.write(), None, None)


@pytest.mark.parametrize(
    ("arch", "options", "graphs"),
    [
        ("cmlm_transformer", {}, {"encoder", "nat.mask-predict.memory", "nat.mask-predict"}),
        ("glat_ctc", {"src_upsample_scale": 2, "decoder_layers": 1}, {"encoder", "nat.ctc"}),
    ],
)
def test_a_bundle_of_such_a_decoder_alone(fairseq, tmp_path, arch, options, graphs):
    """It is written without a step graph, and sources are as short as the longest canvas wants."""
    model = fairseq(arch=arch, encoder_layers=1, **NAT, **options)
    if not options:
        model.tensors["decoder.embed_length.weight"] = torch.randn(256, 12)

    bundle = export(
        read_fairseq(model.write(), None, None), tmp_path / "bundle", precision="fp32", progress=lambda _: None
    )

    [nat] = bundle.manifest.nat.values()
    assert set(bundle.manifest.graphs) == graphs
    if options:
        assert bundle.manifest.limits.max_source_tokens * nat.upsample <= nat.max_canvas


def a_beam(plain, source, width, limit, words):
    """fairseq's search for one source, as its documentation has it: hypotheses with their scores, best first."""
    beams, ended = [(0.0, [END])], []
    for step in range(limit):
        read = torch.tensor([words_of for _, words_of in beams])
        scores = plain.logits([source] * len(beams), read)[:, -1].log_softmax(-1)
        scores[:, PAD] = -math.inf
        if step == 0:
            scores[:, END] = -math.inf  # min_len is 1
        if step == limit - 1:
            scores[:, [w for w in range(words) if w != END]] = -math.inf
        candidates = sorted(
            ((beams[b][0] + float(scores[b, w]), b, w) for b in range(len(beams)) for w in range(words)), reverse=True
        )[: 2 * width]
        for rank, (score, b, w) in enumerate(candidates):
            if w == END and rank < width and score > -math.inf and len(ended) < width:
                ended.append((score / (step + 1), beams[b][1][1:]))
        if len(ended) == width:
            break
        beams = [(s, [*beams[b][1], w]) for s, b, w in candidates if w != END][:width]
    return sorted(ended, key=lambda one: -one[0])


@pytest.fixture(scope="module")
def exported(fairseq_in, tmp_path_factory):
    """A model as a float32 bundle, and its plain form."""
    folder = tmp_path_factory.mktemp("fairseq")
    model = fairseq_in(
        folder,
        decoder_normalize_before=True,
        decoder_learned_pos=True,
        encoder_embed_dim=18,
        encoder_layers=1,
        activation_fn="relu_squared",
    )
    checkpoint = read_fairseq(model.write(), None, None)
    bundle = export(checkpoint, folder / "bundle", precision="fp32", progress=lambda _: None)
    return model, Plain(model.options, model.tensors), checkpoint, bundle


class Observer:
    """Lanes report to it."""

    def __getattr__(self, name):
        return lambda *args: None


def test_steps_and_searches_are_fairseqs(exported):
    """Node by node every word is as likely as the plain form says, and greedy search and a beam of 5 are its own."""
    model, plain, checkpoint, bundle = exported
    sources, read = some_words(model.options, model.tensors, lengths=(*LENGTHS, 7))
    words, limit = checkpoint.architecture.target_vocabulary, 12
    stepper = Stepper(bundle.directory, checkpoint.architecture, sources, read.shape[1], words)

    expected = plain.logits(sources, read).log_softmax(-1).numpy()
    for t in range(read.shape[1]):
        logp, ids = stepper.read(read[:, t].numpy())
        np.testing.assert_allclose(
            np.take_along_axis(logp, ids.argsort(-1), -1), expected[:, t], atol=TOLERANCE, rtol=0
        )

    lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=8, observer=Observer())
    try:
        for width in (1, 5):
            decoding = replace(checkpoint.decoding, beam_size=width, num_hypotheses=width, max_length=limit)
            answers = decoded(lanes, [Segment(tuple(source), decoding, suppressed_ids=(PAD,)) for source in sources])
            for source, answer in zip(sources, answers, strict=True):
                found = a_beam(plain, source, width, limit, words)
                assert [h.ids for h in answer.hypotheses] == [tuple(ids) for _, ids in found]
                scores = [score for score, _ in found]
                assert [h.score for h in answer.hypotheses] == pytest.approx(scores, abs=TOLERANCE)
    finally:
        lanes.close()


def decoded(lanes, segments):
    """All segments in one batch."""
    answers, answered = [None] * len(segments), threading.Semaphore(0)

    def keeper(n):
        def keep(answer):
            answers[n] = answer
            answered.release()

        return keep

    for n, segment in enumerate(segments):
        lanes.submit(segment, keeper(n))
    for _ in segments:
        assert answered.acquire(timeout=60)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def test_a_text_becomes_a_translation(exported):
    """The server reads the bundle's dictionaries and subwords: text in, text out, and no word of fairseq's own."""
    _, _, _, bundle = exported

    with LocalTranslator(bundle.directory, threads=1) as translator:
        [translation] = translator.translate(["a bad ride"])

    assert translation.text
    assert "<" not in translation.text


def test_defaults_are_those_of_fairseq_generate(fairseq):
    """Beam 5, scores by length, at least one word and at most 200, and fairseq's numbers for its own words."""
    checkpoint = read_fairseq(fairseq(max_target_positions=512).write(), None, None)

    decoding, tokenizer = checkpoint.decoding, checkpoint.tokenizer
    assert (decoding.profile, decoding.beam_size, decoding.length_penalty) == ("fairseq", 5, 1.0)
    assert (decoding.min_length, decoding.max_length, decoding.unknown_handling) == (1, 201, "allow")
    assert (tokenizer.eos_id, tokenizer.unk_id, tokenizer.start_id, tokenizer.suppressed_ids) == (2, 3, 2, (1,))
    assert (tokenizer.prefix, tokenizer.suffix, str(checkpoint.pairs[0])) == ((), (), "de-en")
