"""What the manifest of a bundle must say of its non-autoregressive decoders: rules that types alone cannot say."""

from collections.abc import Iterator

from dragoman.bundle.manifest import NAT_NAMES, Architecture, Manifest, Nat

MAX_CANVAS_FACTOR = 100.0
_LEAST = {
    "layers": 1,
    "max_canvas": 1,
    "upsample": 1,
    "length_classes": 0,
    "block": 0,
    "passes": 1,
    "length_candidates": 1,
}


def nat_problems(name: str, nat: Nat, shape: Architecture) -> Iterator[str]:
    """What is wrong with a decoder, each problem with its path below `nat.NAME`."""
    if shape.copies:
        yield ": emits the vocabulary's words alone, and architecture.copies is true"
    if shape.positions in ("shaw", "rotary"):
        yield ": has positions of every kind but shaw and rotary"
    if shape.recurrent is not None:
        yield f": needs an encoder of attention, and this one is of {shape.decoder}"
    if name not in NAT_NAMES or name != nat.kind:
        yield f".kind: {nat.kind}; the decoders are {', '.join(NAT_NAMES)}, each of the kind that it is called by"
    for field, least in _LEAST.items():
        if getattr(nat, field) < least:
            yield f".{field}: {getattr(nat, field)} is less than {least}"
    words = shape.target_vocabulary
    for field, most in {"mask_id": words, "blank_id": words, "first_id": words - 1, "last_id": words - 1}.items():
        index = getattr(nat, field)
        if index is not None and not 0 <= index <= most:
            yield f".{field}: {index} is not between 0 and {most}"
    if not 0 < nat.canvas_factor <= MAX_CANVAS_FACTOR:
        yield f".canvas_factor: {nat.canvas_factor:g} is not above 0 and at most {MAX_CANVAS_FACTOR:g}"
    is_ctc = nat.kind == "ctc"
    if is_ctc != (nat.blank_id is not None):
        yield ".blank_id: ctc has one, and no other kind has"
    if (nat.mask_id is None) != (is_ctc and nat.canvas in ("split", "late")):
        yield ".mask_id: every kind has one, but ctc whose canvas is split from the source"
    if nat.canvas not in (("split", "late", "masks") if is_ctc else ("masks", "source", "shown")):
        yield f".canvas: {nat.canvas}, which {nat.kind} does not have"
    if nat.canvas == "source" and shape.tying != "all":
        yield f".canvas: source, which needs one vocabulary for both sides, and tying is {shape.tying}"
    if nat.canvas == "shown" and nat.mask_id != words:
        yield f".mask_id: {nat.mask_id}, and a mask that shows a source position is no word; it must be {words}"
    if nat.canvas == "shown" and not nat.length_classes:
        yield ".length_classes: 0, and positions are shown at the pace of a canvas whose length is known"
    if nat.canvas == "late" and shape.encoder_width not in (None, shape.d_model):
        yield f".canvas: late, which needs an encoder as wide as the decoder, {shape.d_model}"
    if nat.refines and not is_ctc:
        yield ".refines: true, which ctc alone has to learn"
    if is_ctc and nat.passes > 1 and not nat.refines:
        yield f".passes: {nat.passes}, and refines is false"
    if is_ctc and (nat.first_id, nat.last_id, nat.length_classes, nat.block) != (None, None, 0, 0):
        yield ": ctc has no first_id, last_id, length_classes or block"


def canvas_problems(nat: Nat, manifest: Manifest) -> Iterator[str]:
    """Where a canvas is longer or shorter than the network allows."""
    positions, source = manifest.architecture.max_positions, manifest.limits.max_source_tokens
    if nat.kind == "mask-predict" and nat.max_canvas > positions:
        yield f".max_canvas: {nat.max_canvas} is more than the network's {positions} positions"
    if nat.kind == "ctc" and nat.max_canvas < nat.upsample * source:
        yield f".max_canvas: {nat.max_canvas} is less than {nat.upsample} places for each of {source} source tokens"
