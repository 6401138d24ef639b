"""What a well-formed manifest must also be: rules that types alone cannot say."""

import re
from collections.abc import Iterator

from dragoman.bundle.graphs import ATTENTION, CANDIDATES, ENCODER, STEP, STEP_SHORTLIST, nat_graphs
from dragoman.bundle.manifest import MANIFEST_NAME, RECURRENT, Architecture, Decoding, Manifest, Recurrent, Tokenizer
from dragoman.bundle.nat_rules import canvas_problems, nat_problems

# A part of a file name: portable, visible, never "." or "..", never hidden, no separator of any system.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]{0,199}")
MAX_NAME_BYTES = 128
MAX_BEAM_SIZE = 60
MAX_LENGTH_PENALTY = 10.0
MAX_LENGTH_FACTOR = 100.0
MAX_PATIENCE = 100.0
MAX_REPETITION_PENALTY = 100.0
MAX_COVERAGE_PENALTY = 100.0
MAX_WORD_PENALTY = 100.0
MAX_FIRST = 16
MAX_SUMMED = 256
MAX_TOKENS = 4096
MAX_LINKED = 64
MAX_APPROXIMATION = {"size": 4096, "count": 4096, "rounds": 64}
_FORM = re.compile(r"(?=.{4,16}\Z)[!-z|~]*\{n\}[!-z|~]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def name_problem(name: str) -> str | None:
    """Why `name` may not be a file of a bundle; None when it may. Names are relative, with `/` between parts."""
    if name == MANIFEST_NAME:
        return f"{name!r} is the manifest itself, which cannot list its own checksum"
    if all(_PART.fullmatch(part) for part in name.split("/")):
        return None
    return (
        f"{ascii(name)[:80]} is not a safe file name: parts of letters, digits and ._+=@- that do not begin with "
        f"a dot, separated by /, and nothing that leads out of the bundle"
    )


def manifest_problems(manifest: Manifest) -> list[str]:
    """Everything that is wrong with a manifest in itself, before any file is looked at."""
    whole = [*_names(manifest), *_files(manifest), *_references(manifest), *_numbers(manifest), *_forms(manifest)]
    return [*whole, *_siblings(manifest)]


def _siblings(manifest: Manifest) -> Iterator[str]:
    """Where a further decoder is none, or could not stand in for the first: it reads the same words, and says them."""
    own = manifest.architecture
    for name, shape in sorted(manifest.siblings.items()):
        if name != shape.decoder or name == own.decoder:
            yield f"siblings.{name}: of {shape.decoder}, beside {own.decoder}; each has the name of its kind, once"
        if shape.decoder_layers < 1:
            yield f"siblings.{name}.decoder_layers: {shape.decoder_layers} is less than 1"
        for field in ("source_vocabulary", "target_vocabulary", "max_positions", "copies"):
            if getattr(shape, field) != getattr(own, field):
                yield f"siblings.{name}.{field}: {getattr(shape, field)}, and architecture has {getattr(own, field)}"
        seen = manifest.of(name)
        yield from (problem.replace("graphs.", f"graphs.{name}.", 1) for problem in _graphs(seen))
        for problem in shape_problems(shape):
            yield problem.replace("architecture.", f"siblings.{name}.", 1)
        for field, problem in attention_problems(seen, manifest.decoding):
            yield f"decoding.{field}: {problem}, of the decoder {name}"
    if manifest.searcher is not None and manifest.searcher not in manifest.siblings:
        yield f"searcher: {manifest.searcher}, which is not in siblings"


def _names(manifest: Manifest) -> Iterator[str]:
    """The model's name is a label of metrics, a field of answers and a word of messages."""
    size = len(manifest.name.encode("utf-8", "surrogatepass"))
    if not size or size > MAX_NAME_BYTES:
        yield f"name: {size} bytes; it is to have 1 to {MAX_NAME_BYTES}"


def _forms(manifest: Manifest) -> Iterator[str]:
    """What a text may be searched for: a form is short, and its number tells it from others."""
    for index, form in enumerate(manifest.forms):
        if not _FORM.fullmatch(form.form):
            yield f"forms[{index}].form: {ascii(form.form)[:60]} is not up to 16 letters, digits and signs around {{n}}"
        if not 0 <= form.share <= 1:
            yield f"forms[{index}].share: {form.share:g} is not from 0 to 1"
    names = [form.form for form in manifest.forms]
    if len({*names}) < len(names):
        yield "forms: a form stands in it twice"


def _files(manifest: Manifest) -> Iterator[str]:
    for name, file in sorted(manifest.files.items()):
        problem = name_problem(name)
        if problem is not None:
            yield f"files: {problem}"
        if not _SHA256.fullmatch(file.sha256):
            yield f"files.{name!a}.sha256: expected 64 hexadecimal digits in lower case"
        if file.size < 0:
            yield f"files.{name!a}.size: {file.size} is negative"


def _references(manifest: Manifest) -> Iterator[str]:
    named = {f"graphs.{key}": graph.file for key, graph in manifest.graphs.items()}
    tokenizer = {name: getattr(manifest.tokenizer, name) for name in _TOKENIZER_FILES}
    named |= {f"tokenizer.{name}": file for name, file in tokenizer.items() if file is not None}
    if manifest.shortlist is not None:
        named["shortlist"] = manifest.shortlist
    for where, name in named.items():
        if name not in manifest.files:
            yield f"{where}: the file {name!a} is not listed in files"
    is_alone = manifest.architecture.decoder_layers == 0  # nothing decodes but what `nat` names
    if is_alone and (STEP in manifest.graphs or not manifest.nat or manifest.siblings):
        yield "architecture.decoder_layers: 0, which needs decoders in nat, and has no use for a step graph or siblings"
    yield from _graphs(manifest)
    for name, nat in sorted(manifest.nat.items()):
        for graph in nat_graphs(name, nat, shortlist=CANDIDATES in manifest.graphs):
            if graph not in manifest.graphs:
                yield f"graphs.{graph}: missing, and nat.{name} needs it"
    if manifest.tokenizer.kind == "moses-fastbpe" and len(manifest.pairs) != 1:
        yield f"pairs: {len(manifest.pairs)}; a tokenizer with Moses' rules is for exactly one pair"
    yield from _languages(manifest)
    yield from _copies(manifest)
    for name in ("source_vocabulary", "target_vocabulary"):
        is_used = manifest.tokenizer.kind in _KINDS_WITH_VOCABULARY
        if is_used != (getattr(manifest.tokenizer, name) is not None):
            yield f"tokenizer.{name}: needed by the kinds {', '.join(_KINDS_WITH_VOCABULARY)}, and by no other"


def _graphs(manifest: Manifest) -> Iterator[str]:
    """Graphs that decoding word by word needs and that are not there."""
    for graph in (ENCODER, *((STEP,) if manifest.architecture.decoder_layers else ())):
        if graph not in manifest.graphs:
            yield f"graphs.{graph}: missing"
    for graph, other in ((STEP_SHORTLIST, CANDIDATES), (CANDIDATES, STEP_SHORTLIST)):
        if graph in manifest.graphs and other not in manifest.graphs:
            yield f"graphs.{other}: missing, and {graph} is of no use without it"
    if manifest.decoding.shortlist and (manifest.shortlist is None or STEP_SHORTLIST not in manifest.graphs):
        yield "decoding.shortlist: true, but the bundle does not hold both a shortlist and a step_shortlist graph"


def _copies(manifest: Manifest) -> Iterator[str]:
    """Where copying lacks what it needs: one vocabulary, all of it in every step, and a word to start with."""
    if not manifest.architecture.copies:
        return
    words, shape = manifest.tokenizer, manifest.architecture
    if (words.source, words.source_vocabulary) != (words.target, words.target_vocabulary) or (
        shape.source_vocabulary != shape.target_vocabulary
    ):
        yield "architecture.copies: true, which needs one vocabulary for both sides"
    if STEP_SHORTLIST in manifest.graphs:
        yield "graphs.step_shortlist: over candidates, and a word that is copied is none of them"
    if words.start_id >= shape.target_vocabulary:
        yield f"tokenizer.start_id: {words.start_id}, which in a model that copies stands for a source position"


def _languages(manifest: Manifest) -> Iterator[str]:
    """Where a pair that is translated does not find its ids."""
    tokenizer = manifest.tokenizer
    tables = {"source": tokenizer.source_languages, "target": tokenizer.target_languages}
    if not manifest.pairs and not all(tables.values()):
        yield "pairs: empty, and so are the tokenizer's languages; a bundle translates at least one pair"
    for side in sorted(tokenizer.slots):
        for tag in sorted({getattr(pair, side) for pair in manifest.pairs} - tables[side].keys()):
            yield f"tokenizer.{side}_languages: {tag} is missing, which pairs has"
    if tokenizer.forced_first == "source":
        yield "tokenizer.forced_first: a translation begins with its own language, not with the source"
    if tokenizer.forced_first == "target":
        for tag, ids in sorted(tables["target"].items()):
            if len(ids) != 1:
                yield f"tokenizer.target_languages.{tag}: {len(ids)} ids, and forced_first is exactly one"


def _numbers(manifest: Manifest) -> Iterator[str]:
    shape, decoding = manifest.architecture, manifest.decoding
    at_least_one = {
        **{f"architecture.{name}": getattr(shape, name) for name in _SIZES},
        **({} if shape.recurrent else {f"architecture.{name}": getattr(shape, name) for name in ("heads", "ffn")}),
        "limits.max_source_tokens": manifest.limits.max_source_tokens,
        "limits.max_target_tokens": manifest.limits.max_target_tokens,
        "decoding.beam_size": decoding.beam_size,
        "decoding.num_hypotheses": decoding.num_hypotheses,
        "decoding.max_length": decoding.max_length,
        "format_version": manifest.format_version,
    }
    if manifest.nat and shape.decoder_layers == 0:
        del at_least_one["architecture.decoder_layers"]
    for where, number in at_least_one.items():
        if number < 1:
            yield f"{where}: {number} is less than 1"
    yield from shape_problems(shape)
    yield from _decoding(decoding)
    yield from _forced(decoding, shape)
    for name, problem in attention_problems(manifest, decoding):
        yield f"decoding.{name}: {problem}"
    yield from _ids(manifest.tokenizer, shape)
    yield from _limits(manifest, shape)
    yield from _context(manifest, shape)
    for name, nat in sorted(manifest.nat.items()):
        for problem in (*nat_problems(name, nat, shape), *canvas_problems(nat, manifest)):
            yield f"nat.{name}{problem}"


def _recurrent(shape: Architecture) -> Iterator[str]:
    """Where choices of a recurrent network contradict one another."""
    kind, sizes = shape.decoder, shape.recurrent
    if (kind in RECURRENT) != (sizes is not None):
        names = f"{', '.join(RECURRENT[:-1])} and {RECURRENT[-1]}"
        yield f"architecture.recurrent: needed by the decoders {names}, and by no other; this one is {kind}"
    if sizes is None:
        return
    for name, problem in _recurrent_sizes(shape, sizes):
        yield f"architecture.recurrent.{name}: {problem}"
    if sizes.first == "last" and shape.encoder_layers != shape.decoder_layers and not sizes.is_transition:
        layers = f"{shape.encoder_layers}, for {shape.decoder_layers} of the decoder"
        yield f"architecture.encoder_layers: {layers}, each of which starts from the last state of one"


MAX_HISTORY_REACH = 256
UNSAID = Recurrent(1, 1, 1, 1)
"""What is left out of a recurrent network."""
_WIDTHS = (
    *("source_width", "target_width", "encoder_hidden", "decoder_hidden", "attention_width", "row_width"),
    *("output_size", "encoder_cells", "upper_cells"),
)


def _recurrent_sizes(shape: Architecture, sizes: Recurrent) -> Iterator[tuple[str, str]]:
    """Fields, and what is wrong with them."""
    for name in _WIDTHS:
        number = getattr(sizes, name)
        if number is not None and number < 1:
            yield name, f"{number} is less than 1"
    if sizes.attention_width is not None and sizes.attention not in ("additive", "heads"):
        yield "attention_width", f"for additive attention and heads, this one is {sizes.attention}"
    if sizes.attention_heads < 1 or sizes.key_width % sizes.attention_heads:
        yield "attention_heads", f"{sizes.attention_heads} does not divide a width of {sizes.key_width}"
    if sizes.attention_heads > 1 and sizes.attention != "heads":
        yield "attention_heads", f"{sizes.attention_heads}, of {sizes.attention} attention, which has one"
    memory, hidden, first = sizes.memory_width, sizes.decoder_hidden, sizes.first_width
    if sizes.attention == "dot" and memory != hidden:
        yield "attention", f"dot, of memory of {memory} and hidden states of {hidden}"
    if sizes.attention == "none" and (shape.copies or "context" in sizes.output_reads or sizes.row_width is not None):
        yield "attention", "none, but copies, output_reads or row_width need one"
    if sizes.attention == "none" and sizes.first == "zeros":
        yield "first", "zeros, and there is no attention: nothing would be known of the source"
    if sizes.attention != "none" and "context" not in sizes.read_behind(shape.decoder_layers):
        yield "attention", f"{sizes.attention}, and neither cell_reads nor output_reads has the context"
    if sizes.first == "zeros" and sizes.bridge:
        yield "bridge", "true, of first states that are zeros"
    if sizes.first != "zeros" and first != hidden and not sizes.bridge:
        yield "bridge", f"false, but states of {first} cannot be states of {hidden}"
    if sizes.first == "last" and sizes.is_transition and shape.encoder_layers != 1:
        yield "first", f"last, of {shape.encoder_layers} layers, and the decoder has one state"
    before, cells = sizes.before, sizes.base_of(shape.decoder_layers)
    if before is not None and not 0 <= before <= cells:
        yield "before", f"{before} of {cells} cells"
    elif before is not None and before < cells and sizes.attention == "none":
        yield "before", f"{before} of {cells} cells, and there is no attention"
    elif before is not None and before < cells and not sizes.cell_reads:
        yield "cell_reads", "empty, and a cell after attention must read something"
    if before in (None, cells) and sizes.cell_reads != UNSAID.cell_reads:
        yield "cell_reads", f"{', '.join(sizes.cell_reads) or 'empty'}, and no cell comes after attention"
    if not sizes.bridge and sizes.bridge_activation != UNSAID.bridge_activation:
        yield "bridge_activation", f"{sizes.bridge_activation}, and there is no bridge"
    if not (sizes.output_reads and sizes.output_matrix) and sizes.output_activation != UNSAID.output_activation:
        yield "output_activation", f"{sizes.output_activation}, of a matrix that there is not"
    yield from _stacked(shape, sizes)
    yield from _history(sizes)
    for name in ("cell_reads", "output_reads"):
        parts = getattr(sizes, name)
        if len(set(parts)) < len(parts):
            yield name, f"{', '.join(parts)}: one of them twice"
    for width, tyings in (("source_width", ("all",)), ("target_width", ("all", "decoder"))):
        if shape.tying in tyings and getattr(sizes, width) != shape.d_model:
            yield width, f"{getattr(sizes, width)} is not d_model, which tying needs"


def _stacked(shape: Architecture, sizes: Recurrent) -> Iterator[tuple[str, str]]:
    """Fields of stacked layers and normed cells, and what is wrong with them."""
    form, base = sizes.encoder_form, sizes.base_of(shape.decoder_layers)
    if form == "layers" and sizes.encoder_cells != 1:
        yield "encoder_cells", f"{sizes.encoder_cells}, of layers, which have one"
    if form != "layers" and (not sizes.bidirectional or sizes.first in ("last", "top")):
        yield "encoder_form", f"{form}, which reads both ways, and gives no last states"
    if form == "tower" and shape.encoder_layers < 2:
        yield "encoder_form", "tower, of a layer that nothing stands on"
    if sizes.upper_layers < 0 or (sizes.upper_layers and (not sizes.is_transition or base < 1)):
        yield "upper_layers", f"{sizes.upper_layers}, which need is_transition, and a cell that they stand on"
    if not sizes.upper_layers and sizes.upper_cells != 1:
        yield "upper_cells", f"{sizes.upper_cells}, of layers that there are not"
    is_stacked = sizes.upper_layers or (form != "layers" and shape.encoder_layers > 1 + (form == "tower"))
    if sizes.skips and not is_stacked:
        yield "skips", "true, and no layer stands on another whose states are as wide"
    if sizes.skips and form == "layers":
        yield "skips", "true, of an encoder of layers, which has none"
    if sizes.output_size is not None and not (sizes.output_reads and sizes.output_matrix):
        yield "output_size", f"{sizes.output_size}, of a matrix that there is not"
    if sizes.cell_norm == "none":
        return
    if form == "layers" or sizes.row_width is not None or sizes.attention != "additive" or shape.decoder == "tanh":
        yield "cell_norm", f"{sizes.cell_norm}: of lstm and gru in stacks or a tower, with additive attention"
    if sizes.cell_norm == "split" and shape.decoder != "gru":
        yield "cell_norm", f"split, of {shape.decoder}, whose gates are not apart"


def _history(sizes: Recurrent) -> Iterator[tuple[str, str]]:
    """Fields of what attention knows of earlier words, and what is wrong with them."""
    if sizes.attention_history != "none" and sizes.attention != "additive":
        yield "attention_history", f"{sizes.attention_history}, of additive attention; this one is {sizes.attention}"
    if not 0 <= sizes.history_reach <= MAX_HISTORY_REACH:
        yield "history_reach", f"{sizes.history_reach} is not from 0 to {MAX_HISTORY_REACH}"
    if sizes.history_reach and sizes.attention_history == "none":
        yield "history_reach", f"{sizes.history_reach}, of scores that read no weights"


def _rotary(shape: Architecture) -> Iterator[str]:
    """Where choices of attention that turns its queries and keys contradict one another."""
    if (shape.positions == "rotary") != (shape.rotary is not None):
        yield f"architecture.rotary: needed by positions rotary, and by no other; these are {shape.positions}"
    if shape.encoder_rotary is not None and shape.rotary is None:
        yield "architecture.encoder_rotary: of an encoder whose decoder has none"
    if shape.output_cap is not None and not shape.output_cap > 0:
        yield f"architecture.output_cap: {shape.output_cap:g} is not above 0"
    encoder = shape.of_encoder
    for name, side, layers, width in (
        ("rotary", shape, shape.decoder_layers, shape.head_dim),
        ("encoder_rotary", encoder, shape.encoder_layers, shape.encoder_head_dim),
    ):
        rotary = side.rotary
        if rotary is None:
            continue
        for field, number in (("base", rotary.base), ("cap", 1.0 if rotary.cap is None else rotary.cap)):
            if not number > 0:
                yield f"architecture.{name}.{field}: {number:g} is not above 0"
        if rotary.key_heads < 1 or side.heads % rotary.key_heads:
            yield f"architecture.{name}.key_heads: {rotary.key_heads} does not divide {side.heads} heads"
        if width % 2:
            yield f"architecture.head_width: {width} is odd, and rotary positions turn pairs"
        if len(rotary.reach) > layers or any(seen is not None and seen < 0 for seen in rotary.reach):
            yield f"architecture.{name}.reach: {list(rotary.reach)} is not a distance for each of {layers} layers"


def _window(shape: Architecture) -> Iterator[str]:
    """Where choices of an encoder that sees what is near contradict one another."""
    window = shape.encoder_window
    if window is None:
        return
    if shape.recurrent is not None or shape.positions in ("shaw", "rotary"):
        kind = shape.decoder if shape.recurrent is not None else f"positions {shape.positions}"
        yield f"architecture.encoder_window: of an encoder that has none, {kind}"
    if len(window.reach) != shape.encoder_layers or min(window.reach, default=1) < 1:
        layers = shape.encoder_layers
        yield f"architecture.encoder_window.reach: {list(window.reach)} is not a distance for each of {layers} layers"
    if not 0 <= window.first <= MAX_FIRST:
        yield f"architecture.encoder_window.first: {window.first} is not from 0 to {MAX_FIRST}"
    if window.summed < 0 or window.summed & (window.summed - 1) or window.summed > MAX_SUMMED:
        yield f"architecture.encoder_window.summed: {window.summed} is not a power of two up to {MAX_SUMMED}"
    is_even = window.stretch % 2 == 0 or not window.is_staggered
    farthest = window.stretch - 1 + (window.stretch if window.linked else 0)
    if window.stretch and ({*window.reach} != {farthest} or not is_even or shape.positions == "relative"):
        yield "architecture.encoder_window.stretch: its words see to its ends in all layers; even if staggered"
    if not 0 <= window.linked <= MAX_LINKED:
        yield f"architecture.encoder_window.linked: {window.linked} is not from 0 to {MAX_LINKED}"
    if window.linked and (not window.stretch or window.is_staggered or window.first or window.tokens or window.summed):
        yield "architecture.encoder_window.linked: of stretches that are not staggered, and without all else"
    if window.is_staggered and not window.stretch:
        yield "architecture.encoder_window.is_staggered: true, of stretches that there are not"
    if not 0 <= window.tokens <= MAX_TOKENS:
        yield f"architecture.encoder_window.tokens: {window.tokens} is not from 0 to {MAX_TOKENS}"
    if window.tokens and (window.first or window.summed or shape.of_encoder.norm != "pre"):
        yield "architecture.encoder_window.tokens: without first words and sums, for pre-norm layers"
    if window.summed and (window.first or shape.positions != "relative" or shape.norm != "pre"):
        yield "architecture.encoder_window.summed: without first words, for pre-norm layers with relative positions"


APPROXIMATIONS = {
    "linformer": ("size",),
    "compressed": ("size",),
    "linear": (),
    "sinkhorn": ("size", "rounds"),
    "lsh": ("size", "count", "rounds"),
    "routing": ("size", "count"),
}
"""What each is said by."""


def _approximation(shape: Architecture) -> Iterator[str]:
    """Where choices of an encoder whose attention is an approximation contradict one another."""
    form = shape.encoder_attention
    if form is None:
        return
    if shape.recurrent is not None or shape.encoder_window is not None:
        kind = shape.decoder if shape.recurrent is not None else "a window"
        yield f"architecture.encoder_attention: of an encoder that has another, {kind}"
    if shape.positions not in ("sinusoidal", "learned"):
        own = f"positions {shape.positions}, which are parts of scores, and {form.kind} has none of two words"
        yield f"architecture.encoder_attention: {own}: sinusoidal and learned ones are parts of words"
    for field, most in MAX_APPROXIMATION.items():
        number, is_said = getattr(form, field), field in APPROXIMATIONS[form.kind]
        if number and not is_said:
            yield f"architecture.encoder_attention.{field}: {number}, and {form.kind} has none"
        elif is_said and not 1 <= number <= most:
            yield f"architecture.encoder_attention.{field}: {number} is not from 1 to {most}"
    if form.kind == "lsh" and form.count % 2:
        yield f"architecture.encoder_attention.count: {form.count} is odd, and buckets are of both signs"


def shape_problems(shape: Architecture) -> Iterator[str]:
    """Where choices of the network contradict one another."""
    yield from _recurrent(shape)
    yield from _window(shape)
    yield from _approximation(shape)
    if shape.heads >= 1 and (shape.encoder_heads or 1) >= 1:
        yield from _rotary(shape)
    for name in _SIZES_OF_SIDES:
        number = getattr(shape, name)
        if number is not None and number < 1:
            yield f"architecture.{name}: {number} is less than 1"
    divided = [("heads", "d_model")]
    if shape.encoder_heads is not None or shape.encoder_width is not None:
        divided.append(("encoder_heads", "d_model" if shape.encoder_width is None else "encoder_width"))
    for name, width in divided:
        heads = shape.heads if getattr(shape, name) is None else getattr(shape, name)
        if shape.head_width is None and heads >= 1 and getattr(shape, width) % heads:
            yield f"architecture.{name}: {heads} does not divide {width} {getattr(shape, width)}"
    if (shape.encoder_width or shape.d_model) != shape.d_model and shape.tying == "all":
        yield f"architecture.encoder_width: {shape.encoder_width}, and the words of width {shape.d_model} are shared"
    if shape.embedding_norm_first and not shape.embedding_norm:
        yield "architecture.embedding_norm_first: true, of a norm that embedding_norm says there is not"
    if shape.position_offset < 0:
        yield f"architecture.position_offset: {shape.position_offset} is negative"
    if (shape.is_relative or shape.positions == "rotary") and shape.decoder != "self-attention":
        yield f"architecture.positions: {shape.positions}, which a decoder of {shape.decoder} does not have"
    if shape.positions == "shaw" and shape.relative_distance < 1:
        yield f"architecture.relative_distance: {shape.relative_distance} is less than 1, and positions are shaw"
    if shape.relative_by_layer and shape.positions != "relative":
        yield f"architecture.relative_by_layer: true, of biases that positions {shape.positions} do not have"
    if shape.positions != "relative":
        return
    # The near half of the buckets hold one distance each, the far half what is left of them.
    if shape.relative_buckets < 4 or shape.relative_distance <= shape.relative_buckets // 2:
        yield (
            f"architecture.relative_distance: {shape.relative_distance} is not more than half of relative_buckets, "
            f"which is {shape.relative_buckets} and must be at least 4"
        )


def _decoding(decoding: Decoding) -> Iterator[str]:
    """Where the defaults are outside the bounds that requests have: they could not be served."""
    beam, number = decoding.beam_size, decoding.num_hypotheses
    if beam > MAX_BEAM_SIZE:
        yield f"decoding.beam_size: {beam} is more than {MAX_BEAM_SIZE}"
    if number > max(1, beam):
        yield f"decoding.num_hypotheses: {number} is more than beam_size, which is {beam}"
    for name, problem in decoding_problems(decoding):
        yield f"decoding.{name}: {problem}"


def decoding_problems(decoding: Decoding) -> Iterator[tuple[str, str]]:
    """Fields whose numbers are out of range in themselves, and why, in a bundle's defaults or in a request."""
    for name, most in _UP_TO.items():
        number = getattr(decoding, name)
        if not 0 <= number <= most:
            yield name, f"{number:g} is not between 0 and {most:g}"
    for name, most in _ABOVE_ZERO.items():
        number = getattr(decoding, name)
        if not 0 < number <= most:
            yield name, f"{number:g} is not above 0 and at most {most:g}"
    if not abs(decoding.word_penalty) <= MAX_WORD_PENALTY:
        yield "word_penalty", f"{decoding.word_penalty:g} is not between -{MAX_WORD_PENALTY:g} and {MAX_WORD_PENALTY:g}"
    if not 0 <= decoding.min_length <= max(decoding.max_length, 0):
        yield "min_length", f"{decoding.min_length} is not between 0 and max_length, which is {decoding.max_length}"
    for name in ("no_repeat_ngram_size", "source_no_repeat_ngram_size"):
        if getattr(decoding, name) < 0:
            yield name, f"{getattr(decoding, name)} is negative"
    # Only the first rule counts hypotheses, so only there is it of any use to wait for more of them.
    if decoding.patience != 1.0 and decoding.early_stopping != "first":
        yield "patience", f"{decoding.patience:g} has no meaning with early_stopping {decoding.early_stopping}"


def attention_problems(manifest: Manifest, decoding: Decoding) -> Iterator[tuple[str, str]]:
    """Fields that need attention, where the graph that would decode does not give it."""
    if has_attention(manifest, shortlist=decoding.shortlist):
        return
    if decoding.coverage_penalty > 0:
        yield "coverage_penalty", NO_ATTENTION
    if decoding.unknown_handling == "copy":
        yield "unknown_handling", NO_ATTENTION


def has_attention(manifest: Manifest, *, shortlist: bool) -> bool:
    """Whether the graph that decodes gives its attention."""
    graph = manifest.graphs.get(STEP_SHORTLIST if shortlist else STEP)
    return graph is not None and any(tensor.name == ATTENTION for tensor in graph.outputs)


def source_problems(decoding: Decoding, shape: Architecture) -> Iterator[tuple[str, str]]:
    """A field that compares the words of both sides, where they are not the same."""
    size = decoding.source_no_repeat_ngram_size
    if size and shape.source_vocabulary != shape.target_vocabulary:
        yield "source_no_repeat_ngram_size", f"{size}, and the source's words are not the target's"


def _forced(decoding: Decoding, shape: Architecture) -> Iterator[str]:
    index = decoding.forced_last_id
    if index is not None and not 0 <= index < shape.target_vocabulary:
        yield f"decoding.forced_last_id: {index} is outside the target vocabulary of {shape.target_vocabulary}"
    for name, problem in source_problems(decoding, shape):
        yield f"decoding.{name}: {problem}"


def _ids(tokenizer: Tokenizer, shape: Architecture) -> Iterator[str]:
    target, source = shape.target_vocabulary, shape.source_vocabulary
    side, smaller = ("target", target) if target <= source else ("source", source)
    for where, index in {"eos_id": tokenizer.eos_id, "unk_id": tokenizer.unk_id}.items():
        if not 0 <= index < smaller:
            yield f"tokenizer.{where}: {index} is outside the {side} vocabulary of {smaller}"
    if tokenizer.start_id < 0:
        yield f"tokenizer.start_id: {tokenizer.start_id} is negative"
    for where, index, limit in _framing(tokenizer, source, target):
        if not 0 <= index < limit:
            yield f"{where}: {index} is outside the vocabulary of {limit}"
    for index in tokenizer.suppressed_ids:
        if not 0 <= index < target:
            yield f"tokenizer.suppressed_ids: {index} is outside the target vocabulary of {target}"
        elif index == tokenizer.eos_id:
            yield f"tokenizer.suppressed_ids: {index} is the end token, and no translation would end"


def _framing(tokenizer: Tokenizer, source: int, target: int) -> Iterator[tuple[str, int, int]]:
    """Ids that are put around a text or before its translation: where, which, and the size of their vocabulary."""
    for where, part in (("prefix", tokenizer.prefix), ("suffix", tokenizer.suffix)):
        yield from ((f"tokenizer.{where}", index, source) for index in part if isinstance(index, int))
    if isinstance(tokenizer.forced_first, int):
        yield "tokenizer.forced_first", tokenizer.forced_first, target
    sides = {"source": tokenizer.source_languages, "target": tokenizer.target_languages}
    for side, languages in sides.items():
        # The target's ids may be read by the encoder, emitted by the decoder, or both.
        is_forced = side == tokenizer.forced_first
        is_read = side in (*tokenizer.prefix, *tokenizer.suffix)
        limit = min([target] * is_forced + [source] * is_read, default=max(source, target))
        for tag, ids in languages.items():
            yield from ((f"tokenizer.{side}_languages.{tag}", index, limit) for index in ids)


def _limits(manifest: Manifest, shape: Architecture) -> Iterator[str]:
    # Positions beyond the table would be read outside of it.
    for side, positions in (("source", shape.source_positions), ("target", shape.max_positions)):
        limit = getattr(manifest.limits, f"max_{side}_tokens")
        if limit > positions:
            yield f"limits.max_{side}_tokens: {limit} is more than the network's {positions} positions"


def _context(manifest: Manifest, shape: Architecture) -> Iterator[str]:
    context, most = manifest.texts.context, manifest.limits.max_source_tokens
    if context is None:
        return
    for index in context.separator:
        if not 0 <= index < shape.source_vocabulary:
            yield f"texts.context.separator: {index} is outside the vocabulary of {shape.source_vocabulary}"
    if context.max_tokens < 1:
        yield f"texts.context.max_tokens: {context.max_tokens} is below 1"
    if 2 * (context.max_tokens + len(context.separator)) > most:
        whole = context.max_tokens + len(context.separator)
        yield f"texts.context: {whole} tokens are more than half of the {most} that the model reads"


NO_ATTENTION = "needs attention, which this bundle's graphs do not give: export it again"

_UP_TO = {"length_penalty": MAX_LENGTH_PENALTY, "coverage_penalty": MAX_COVERAGE_PENALTY}
_ABOVE_ZERO = {
    "max_length_factor": MAX_LENGTH_FACTOR,
    "patience": MAX_PATIENCE,
    "repetition_penalty": MAX_REPETITION_PENALTY,
}
_SIZES = ("d_model", "encoder_layers", "decoder_layers", "source_vocabulary", "target_vocabulary", "max_positions")
_SIZES_OF_SIDES = (
    *("encoder_heads", "encoder_ffn", "encoder_width", "encoder_positions"),
    *("head_width", "encoder_head_width"),
)
_KINDS_WITH_VOCABULARY = ("sentencepiece-vocabulary", "moses-fastbpe", "parlai-bpe")
_TOKENIZER_FILES = ("source", "target", "source_vocabulary", "target_vocabulary")
