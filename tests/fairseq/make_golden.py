"""Random models of fairseq itself, as it saves them, with what it computes.

`make test-fairseq` runs it in an environment of its own: fairseq cannot live with the versions that the project uses.

    python make_golden.py FOLDER

For each case a folder with `model.pt`, dictionaries, and `golden.npz`: sources, what the decoder read, the logits, and
what SequenceGenerator found with beams of 1 and 5.
"""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.sequence_generator import SequenceGenerator
from omegaconf import OmegaConf

SIZES = {
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 30,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_embed_dim": 24,
    "decoder_ffn_embed_dim": 28,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "max_source_positions": 48,
    "max_target_positions": 40,
}
PRE = {"encoder_normalize_before": True, "decoder_normalize_before": True}
LEARNED = {"encoder_learned_pos": True, "decoder_learned_pos": True}

# name -> architecture, options, how options are saved
CASES = {
    "post-norm": ("transformer", {}, "args"),
    "iwslt": ("transformer_iwslt_de_en", {"share_decoder_input_output_embed": True}, "args"),
    "shared": ("transformer_wmt_en_de", {"share_all_embeddings": True}, "omegaconf"),
    "big-t2t": ("transformer_wmt_en_de_big_t2t", {}, "container"),
    "pre-norm-encoder": ("transformer", {"encoder_normalize_before": True}, "args"),
    "pre-norm-decoder": ("transformer", {"decoder_normalize_before": True, "no_decoder_final_norm": True}, "args"),
    "learned": ("transformer", {**PRE, **LEARNED, "activation_fn": "gelu"}, "container"),
    "learned-decoder": ("transformer", {"decoder_learned_pos": True, "activation_fn": "gelu_accurate"}, "args"),
    "no-positions": ("transformer", {"no_token_positional_embeddings": True}, "args"),
    "relu-squared": ("transformer", {"activation_fn": "relu_squared"}, "args"),
    "tanh": ("transformer", {"activation_fn": "tanh"}, "args"),
    "linear": ("transformer", {"activation_fn": "linear"}, "args"),
    "wider-encoder": ("transformer", {"encoder_embed_dim": 36, "decoder_output_dim": 20}, "args"),
    "layernorm-embedding": (
        "transformer",
        {"layernorm_embedding": True, "no_scale_embedding": True, "share_all_embeddings": True},
        "omegaconf",
    ),
    "align": (
        "transformer_align",
        {"alignment_heads": 1, "alignment_layer": 1, "full_context_alignment": True},
        "args",
    ),
    "layerdrop": ("transformer", {"encoder_layerdrop": 0.2, "decoder_layerdrop": 0.2, **PRE}, "args"),
    "version-2": ("transformer", {"decoder_normalize_before": True}, "args"),
}
NAT = {
    "nat": ("nonautoregressive_transformer", {"pred_length_offset": True}),
    "nat-copy": ("nonautoregressive_transformer_wmt_en_de", {"src_embedding_copy": True, "share_all_embeddings": True}),
    "cmlm": ("cmlm_transformer", {"share_all_embeddings": True, **PRE}),
}
LENGTHS = 1, 9, 4, 6
STEPS = 8
LIMIT = 12


def dictionary(words: int) -> Dictionary:
    """So many words, fairseq's own included."""
    made = Dictionary()
    for n in range(words - len(made)):
        made.add_symbol(f"\u2581w{n}", n=words - n)
    return made


def a_model(arch: str, options: dict[str, object], task: SimpleNamespace) -> tuple[argparse.Namespace, torch.nn.Module]:
    """A model with wide random weights, and its completed options."""
    args = argparse.Namespace(
        arch=arch,
        task="translation",
        source_lang="de",
        target_lang="en",
        **{**SIZES, **options},
        criterion="cross_entropy",
    )
    ARCH_CONFIG_REGISTRY[arch](args)
    model = ARCH_MODEL_REGISTRY[arch].build_model(args, task).eval()
    for name, weight in model.named_parameters():
        is_norm = "norm" in name
        weight.data.normal_(1.0 if is_norm and name.endswith("weight") else 0.0, 0.4)
    return args, model


def save(folder: Path, args: argparse.Namespace, model: torch.nn.Module, task: SimpleNamespace, form: str) -> None:
    """As fairseq's trainer does; `form` says how it keeps options."""
    cfg = None
    if form != "args":
        cfg = convert_namespace_to_omegaconf(args)
        if form == "container":
            cfg = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    saved = {
        "args": args if form == "args" else None,
        "cfg": cfg,
        "model": model.state_dict(),
        "optimizer_history": [{"criterion_name": "CrossEntropy", "num_updates": 3}],
        "extra_state": {"epoch": 1, "val_loss": np.float64(2.5)},
        "task_state": {},
    }
    torch.save(saved, folder / "model.pt")
    for code, words in (("de", task.source_dictionary), ("en", task.target_dictionary)):
        words.save(str(folder / f"dict.{code}.txt"))


def a_batch(task: SimpleNamespace, first: tuple[int, ...] = ()) -> tuple[list[list[int]], torch.Tensor]:
    """Sources, and the left-padded batch of them."""
    rng = np.random.default_rng(7)
    words = len(task.source_dictionary)
    sources = [[*first, *map(int, rng.integers(4, words, n - 1)), 2] for n in LENGTHS]
    longest = max(map(len, sources))
    return sources, torch.tensor([[1] * (longest - len(one)) + one for one in sources])


@torch.no_grad()
def golden(folder: Path, model: torch.nn.Module, task: SimpleNamespace) -> None:
    """Logits of a batch that is read under force, and what beams find."""
    sources, ids = a_batch(task)
    rng = np.random.default_rng(8)
    read = torch.from_numpy(rng.integers(4, len(task.target_dictionary), (len(sources), STEPS)))
    read[:, 0] = 2
    lengths = torch.tensor([len(one) for one in sources])
    found: dict[str, object] = {"read": read, "logits": model(ids, lengths, read)[0]}
    for width in (1, 5):
        search = SequenceGenerator([model], task.target_dictionary, beam_size=width, max_len_b=LIMIT - 1)
        for n, source in enumerate(sources):
            sample = {"net_input": {"src_tokens": torch.tensor([source]), "src_lengths": lengths[n : n + 1]}}
            for rank, one in enumerate(search.generate([model], sample)[0]):
                found |= {f"{width}.{n}.{rank}.ids": one["tokens"], f"{width}.{n}.{rank}.score": one["score"]}
    write(folder, sources, found)


@torch.no_grad()
def golden_nat(folder: Path, model: torch.nn.Module, task: SimpleNamespace) -> None:
    """Logits of canvases, one source at a time: lengths, a canvas of masks, and the first pass."""
    sources, _ = a_batch(task, first=(0,))
    found: dict[str, object] = {}
    for n, source in enumerate(sources):
        encoded = model.encoder(torch.tensor([source]), src_lengths=torch.tensor([len(source)]))
        canvas = torch.tensor([[0, *[3] * (n + 2), 2]])
        found |= {
            f"{n}.canvas": canvas,
            f"{n}.lengths": model.decoder.forward_length(normalize=False, encoder_out=encoded),
            f"{n}.first": model.decoder(normalize=False, prev_output_tokens=canvas, encoder_out=encoded, step=0),
            f"{n}.later": model.decoder(normalize=False, prev_output_tokens=canvas, encoder_out=encoded, step=1),
            f"{n}.chosen": model.initialize_output_tokens(encoded, torch.tensor([source])).output_tokens,
        }
    write(folder, sources, found)


def write(folder: Path, sources: list[list[int]], found: dict[str, object]) -> None:
    """Everything as one archive of arrays."""
    arrays = {name: np.asarray(value) for name, value in found.items()}
    np.savez(folder / "golden.npz", **arrays, **{f"source.{n}": np.array(one) for n, one in enumerate(sources)})


def main(root: Path) -> None:
    """Every case."""
    torch.manual_seed(1)
    for name, (arch, options, *form) in {**CASES, **NAT}.items():
        source = dictionary(41)
        task = SimpleNamespace(
            source_dictionary=source,
            target_dictionary=source if options.get("share_all_embeddings") else dictionary(53),
        )
        args, model = a_model(arch, options, task)
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        if name in NAT:
            args.task = "translation_lev"
            golden_nat(folder, model, task)
        else:
            if name == "version-2":
                model.decoder.layer_norm = None
                model.decoder.version.fill_(2)
            golden(folder, model, task)
        save(folder, args, model, task, form[0] if form else "args")
        print(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
