"""`dragoman inspect DIR`: verify a bundle and say what it is."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from dragoman.bundle import codec
from dragoman.bundle.directions import Directions
from dragoman.bundle.errors import BundleCorrupt, BundleError
from dragoman.bundle.manifest import (
    Approximation,
    Architecture,
    Decoding,
    Graph,
    Manifest,
    Nat,
    Recurrent,
    Texts,
    Tokenizer,
    Window,
)
from dragoman.bundle.reader import Bundle, open_bundle


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Verify every file of a bundle and show what it holds. "
        "Exits with 0 when the bundle can be served, with 1 and the reasons when it cannot."
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="a directory written by `dragoman export`")
    parser.add_argument("--json", action="store_true", help="print the manifest, the digest and the verdict as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    try:
        bundle = open_bundle(args.directory)
    except BundleError as error:
        if args.json:
            problems = error.problems if isinstance(error, BundleCorrupt) else (str(error),)
            print(_dumps({"directory": str(args.directory), "ok": False, "problems": problems}))
        else:
            print(error, file=sys.stderr)
        return 1
    if args.json:
        manifest = json.loads(codec.to_json(bundle.manifest))
        print(_dumps({"directory": str(bundle.directory), "ok": True, "digest": bundle.digest, "manifest": manifest}))
    else:
        print("\n".join(page(bundle)))
    return 0


def page(bundle: Bundle) -> Iterator[str]:
    """The lines that the command prints."""
    manifest = bundle.manifest
    provenance = manifest.provenance
    limits = manifest.limits
    yield from (
        _row("bundle", manifest.name),
        _row("directory", str(bundle.directory)),
        _row("digest", f"sha256:{bundle.digest}"),
        _row("pairs", str(Directions.of(manifest))),
        _row("precision", manifest.precision),
        _row("capabilities", ", ".join(manifest.capabilities) or "none"),
        _row("architecture", _architecture(manifest.architecture)),
        *(_row("sibling", _sibling(name, manifest)) for name in sorted(manifest.siblings)),
        _row("decoding", _decoding(manifest.decoding)),
        *(_row("nat", f"{name}: {_nat(nat, manifest)}") for name, nat in sorted(manifest.nat.items())),
        _row("tokenizer", _tokenizer(manifest.tokenizer)),
        *(() if manifest.texts == Texts() else (_row("texts", _texts(manifest.texts)),)),
        _row("shortlist", manifest.shortlist or "none"),
        _row("forms", _forms(manifest)),
        _row("limits", f"{limits.max_source_tokens} source tokens, {limits.max_target_tokens} target tokens"),
        _row("licence", manifest.licence or "not known"),
        _row("made from", f"{provenance.source_format}, by dragoman {provenance.tool_version}"),
    )
    yield from (_row("", f"{name} sha256:{sha256[:16]}") for name, sha256 in sorted(provenance.source_sha256.items()))
    yield from (_row("", f"{key}={value}") for key, value in sorted(provenance.options.items()))
    yield from _graphs(manifest.graphs)
    yield from _parity(manifest)
    yield from _files(bundle)


def _architecture(shape: Architecture) -> str:
    layers = f"{shape.encoder_layers}+{shape.decoder_layers} layers, {shape.decoder} decoder"
    words = f"vocabulary {shape.source_vocabulary}"
    if shape.target_vocabulary != shape.source_vocabulary:
        words += f" to {shape.target_vocabulary}"
    words += f", tying {shape.tying}" + (", copies from the source" if shape.copies else "")
    if shape.recurrent is not None:
        return f"{layers}, {_recurrent(shape.recurrent)}, {words}"
    heads = _both(shape.encoder_heads, shape.heads) + ("" if shape.head_width is None else f" of {shape.head_width}")
    if shape.rotary is not None:
        heads += f" ({_both(shape.of_encoder.key_heads, shape.key_heads)} of keys and values)"
    ffn = f"{_both(shape.encoder_ffn, shape.ffn)} ({'gated ' if shape.gated else ''}{shape.activation})"
    sizes = f"width {_both(shape.encoder_width, shape.d_model)}, {heads} heads, ffn {ffn}"
    placement = shape.norm if shape.encoder_norm is None else f"{shape.encoder_norm}+{shape.norm}"
    norm = f"{placement}-norm" + ("" if shape.norm_kind == "layer" else f" ({shape.norm_kind})")
    positions = f"{shape.positions} positions" + (" by layer" if shape.relative_by_layer else "")
    positions += "" if shape.encoder_window is None else f", {_window(shape.encoder_window)}"
    positions += "" if shape.encoder_attention is None else f", {_approximation(shape.encoder_attention)}"
    words += "" if shape.output_transform is None else f", transformed ({shape.output_transform})"
    return f"{layers}, {sizes}, {norm}, {positions}, {words}"


def _sibling(name: str, manifest: Manifest) -> str:
    """A further autoregressive decoder, and whether it is the one that searches."""
    searches = ", which searches where a request names none" if name == manifest.searcher else ""
    return f"{name}: {_architecture(manifest.siblings[name])}{searches}"


def _approximation(form: Approximation) -> str:
    numbers = {"size": form.size, "count": form.count, "rounds": form.rounds}
    said = ", ".join(f"{name} {number}" for name, number in numbers.items() if number)
    return f"{form.kind} attention of sources" + (f" ({said})" if said else "")


def _window(window: Window) -> str:
    nearest, farthest = min(window.reach), max(window.reach)
    reach = f"{nearest}" if nearest == farthest else f"{nearest} to {farthest}"
    first = f" and the first {window.first}" if window.first else ""
    sums = f" and sums of {window.summed}" if window.summed else ""
    tokens = f" and {window.tokens} tokens" if window.tokens else ""
    stretch = f" in stretches of {window.stretch}" if window.stretch else ""
    ends = ", the first and the last" if window.linked else ""
    return f"sources see {reach} positions away{stretch}{ends}{first}{sums}{tokens}"


def _recurrent(sizes: Recurrent) -> str:
    directions = "both ways" if sizes.bidirectional else "one way"
    feeding = ", input feeding" if sizes.input_feeding else ""
    widths = f"{sizes.encoder_hidden} {directions} to {sizes.decoder_hidden} wide"
    heads = f" of {sizes.attention_heads}" if sizes.attention == "heads" else ""
    place = "" if sizes.before is None else f" after {sizes.before}"
    state = ", one state" if sizes.is_transition else ""
    form = "" if sizes.encoder_form == "layers" else f", encoder of {sizes.encoder_form}"
    above = f", {sizes.upper_layers} layers above" if sizes.upper_layers else ""
    norm = "" if sizes.cell_norm == "none" else f", products normed ({sizes.cell_norm})"
    past = {"sum": " with coverage", "last": ", location-aware", "none": ""}[sizes.attention_history]
    return f"{widths}, {sizes.attention}{heads} attention{past}{place}{state}{above}{feeding}{form}{norm}"


def _texts(texts: Texts) -> str:
    cut = {"none": "read whole", "lines": "cut into lines", "sentences": "cut into sentences"}[texts.splitting]
    long = {"split": "split", "reject": "refused", "truncate": "read in part"}[texts.on_too_long]
    facts = [cut, f"too long ones {long}", *([] if texts.translated else ["not translated"])]
    if texts.context is not None:
        facts.append(f"read behind {texts.context.max_tokens} tokens of context")
    return ", ".join(facts)


def _both(encoder: int | None, decoder: int) -> str:
    """Two sizes, or the one that they share."""
    return str(decoder) if encoder is None else f"{encoder}+{decoder}"


def _decoding(decoding: Decoding) -> str:
    penalty = f"length penalty {decoding.length_penalty:g} ({decoding.length_penalty_kind})"
    limit = f"at most {decoding.max_length} tokens and {decoding.max_length_factor:g} for each source token"
    shortlist = "over the shortlist" if decoding.shortlist else "over the whole vocabulary"
    search = f"{decoding.profile}, beam {decoding.beam_size}, {decoding.num_hypotheses} returned"
    unknown = f"unknown words: {decoding.unknown_handling}"
    stopping = f"early stopping {decoding.early_stopping}"
    # The others are shown where they do something.
    further = [
        f"{name.replace('_', ' ')} {getattr(decoding, name):g}"
        for name, nothing in _NEUTRAL.items()
        if getattr(decoding, name) != nothing
    ]
    words = [] if decoding.forced_last_id is None else [f"{decoding.forced_last_id} forced last"]
    return ", ".join((search, penalty, stopping, *further, *words, unknown, limit, shortlist))


def _nat(nat: Nat, manifest: Manifest) -> str:
    """A non-autoregressive decoder, as far as it differs from the other one."""
    no_word = manifest.architecture.target_vocabulary
    ids = {"mask": nat.mask_id, "blank": nat.blank_id, "first": nat.first_id, "last": nat.last_id}
    shown = [f"{name} {'its own' if index == no_word else index}" for name, index in ids.items() if index is not None]
    if nat.kind == "ctc":
        passes = f", further passes refine, {nat.passes} by default" if nat.refines else ""
        how = f"{nat.upsample} places a source token ({nat.canvas}){passes}"
    elif nat.length_classes:
        lengths = f"{nat.length_classes} lengths told apart ({nat.length_search}), {nat.length_candidates} tried"
        how = f"{lengths}, {nat.passes} passes"
    else:
        how = f"{nat.canvas_factor:g} places a source token, cut at the end token, {nat.passes} passes"
    if nat.kind == "mask-predict" and nat.canvas != "masks":
        how += f", on {'the source' if nat.canvas == 'source' else 'masks that show the source'}"
    drafts = f", drafts up to {nat.block} tokens" if nat.block else ""
    return f"{nat.layers} layers, {how}, at most {nat.max_canvas} places, {', '.join(shown)}{drafts}"


def _tokenizer(tokenizer: Tokenizer) -> str:
    files = tokenizer.source if tokenizer.source == tokenizer.target else f"{tokenizer.source}, {tokenizer.target}"
    suppressed = ", ".join(map(str, tokenizer.suppressed_ids)) or "none"
    ids = f"eos {tokenizer.eos_id}, unk {tokenizer.unk_id}, start {tokenizer.start_id}, never emitted: {suppressed}"
    return f"{tokenizer.kind} {files} ({ids}{_frame(tokenizer)})"


def _forms(manifest: Manifest) -> str:
    """What stands for stretches that must not change, and the share of it that came back in a trial."""
    shown = (f"{form.form.format(n=1)} ({form.share:.1%} come back)" for form in manifest.forms)
    return ", ".join(shown) or "not known: `dragoman probe` tries which ones come back"


def _frame(tokenizer: Tokenizer) -> str:
    """What is put around a text, and what its translation must begin with; empty where there is neither."""
    if not (tokenizer.prefix or tokenizer.suffix or tokenizer.forced_first is not None):
        return ""
    reads = [f"<{part}>" if isinstance(part, str) else str(part) for part in tokenizer.prefix]
    reads += ["text", "eos", *(f"<{part}>" if isinstance(part, str) else str(part) for part in tokenizer.suffix)]
    first = "" if tokenizer.forced_first is None else f", translations begin with {tokenizer.forced_first}"
    return f"; reads {' '.join(reads)}{first}"


def _graphs(graphs: dict[str, Graph]) -> Iterator[str]:
    for key, graph in sorted(graphs.items()):
        yield f"\ngraph {key}: {graph.file}"
        for side, tensors in (("in", graph.inputs), ("out", graph.outputs)):
            for tensor in tensors:
                yield f"  {side:3} {tensor.name:24} {tensor.dtype:8} [{', '.join(map(str, tensor.shape))}]"


def _parity(manifest: Manifest) -> Iterator[str]:
    if not manifest.parity:
        return
    yield "\nparity, measured at export: worst difference, and what is tolerated"
    for line in manifest.parity:
        verdict = "" if line.max_difference <= line.tolerance else "  EXCEEDED"
        yield f"  {line.compared}, {line.tensor}: {line.max_difference:.2e} of {line.tolerance:.2e}{verdict}"


def _files(bundle: Bundle) -> Iterator[str]:
    yield "\nfiles, verified"
    for name, file in sorted(bundle.manifest.files.items()):
        yield f"  {file.size:>12,}  {file.sha256[:16]}  {name}"
    yield f"  {bundle.size:>12,}  in {len(bundle.manifest.files)} files"


def _row(label: str, value: str) -> str:
    return f"{label:14}{value}"


def _dumps(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


_NEUTRAL = {
    "word_penalty": 0.0,
    "coverage_penalty": 0.0,
    "patience": 1.0,
    "min_length": 0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "source_no_repeat_ngram_size": 0,
}
"""Values of decoding fields that change nothing."""
