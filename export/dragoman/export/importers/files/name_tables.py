"""Names of tensors that several formats share."""

from __future__ import annotations

import re

TRANSFORMER = (
    (r"\.self\.([qkv])\.", r".self_attn.\1_proj."),
    (r"\.self\.o\.", ".self_attn.out_proj."),
    (r"\.cross\.([qkv])\.", r".encoder_attn.\1_proj."),
    (r"\.cross\.o\.", ".encoder_attn.out_proj."),
    (r"\.self_norm\.", ".self_attn_layer_norm."),
    (r"\.cross_norm\.", ".encoder_attn_layer_norm."),
    (r"\.ffn_norm\.", ".final_layer_norm."),
    (r"\.ffn\.up\.", ".fc1."),
    (r"\.ffn\.down\.", ".fc2."),
    (r"^(encoder|decoder)\.norm\.", r"\1.layer_norm."),
    (r"\.embedding_norm\.", ".layernorm_embedding."),
)


def some(noun: str, names: list[str]) -> str:
    """A count, and a few of them."""
    if len(names) == 1:
        return f"{names[0]} is"
    more = f", such as {', '.join(names[:3])}," if len(names) > 3 else f", {', '.join(names)},"
    return f"{len(names)} {noun}s{more} are"


CELL = re.compile(r"(decoder\.layers\.\d+)\.(weight|bias)_(ih|hh)$")


def canonical_cell(name: str) -> str | None:
    """The canonical name of what `nn.LSTMCell` and `nn.GRUCell` call `weight_ih`, `bias_hh`, ...; None of all else."""
    own = CELL.match(name)
    return own and f"{own[1]}.{'input' if own[3] == 'ih' else 'state'}.{own[2]}"
