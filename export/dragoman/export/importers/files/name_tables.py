"""Names of tensors that several formats share, as rules from the canonical names or to them."""

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
"""From canonical names to fairseq's, which most of transformers' models have kept."""
CELL = re.compile(r"(decoder\.layers\.\d+)\.(weight|bias)_(ih|hh)$")


def canonical_cell(name: str) -> str | None:
    """The canonical name of what `nn.LSTMCell` and `nn.GRUCell` call `weight_ih`, `bias_hh`, ...; else None."""
    match = CELL.match(name)
    return match and f"{match[1]}.{'input' if match[3] == 'ih' else 'state'}.{match[2]}"
