"""Arguments that say how to decode, and the options that they stand for."""

import dataclasses
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Any

from dragoman.cli.arguments import Arguments, at_least_zero, content, count, finite, member, positive
from dragoman.client.types import (
    Alternatives,
    CacheMode,
    Diversity,
    DraftSource,
    EarlyStopping,
    EnginePreference,
    Grammar,
    InputFormat,
    Labels,
    LengthPenaltyKind,
    Lossy,
    MinimumBayesRisk,
    Nat,
    OffsetUnit,
    OnLoop,
    OnTooLong,
    Options,
    Priority,
    Protection,
    Sampling,
    SpanKind,
    Speculation,
    Splitting,
    UnknownHandling,
)

ALL = "all"
KINDS = tuple(kind for kind in SpanKind if kind not in (SpanKind.PATTERN, SpanKind.TERM, SpanKind.UNKNOWN))
"""The kinds that a server looks for by itself."""


def register(parser: ArgumentParser) -> None:
    """Declare the arguments, in groups by what they are about."""
    search = parser.add_argument_group("search; what is left out is the model's own way")
    search.add_argument("--beam-size", type=count, metavar="N", help="hypotheses kept alive; 1 is greedy decoding")
    search.add_argument("--num-hypotheses", type=count, metavar="N", help="translations of each text, best first")
    _choice(search, "--engine", EnginePreference, "which way of decoding to prefer")
    search.add_argument("--decoder", metavar="NAME", help="which of the model's decoders searches: see dragoman models")
    search.add_argument("--profile", metavar="NAME", help="whose rules hold: marian, fairseq, hf or ct2")
    _choice(search, "--early-stopping", EarlyStopping, "when a beam search may end")
    search.add_argument("--patience", type=positive, metavar="X", help="wait for X times the beam's hypotheses")
    search.add_argument("--diversity-groups", type=count, metavar="N", help="groups that avoid each other's words")
    search.add_argument("--diversity-penalty", type=finite, metavar="X", help="how much they avoid them")
    search.add_argument("--alternatives", type=count, metavar="N", help="best N first words, each continued")
    search.add_argument("--min-probability", type=finite, metavar="X", help="least probability of an alternative")
    search.add_argument("--choice", action="append", metavar="LABEL", help="say one of these alone; may be repeated")
    search.add_argument("--most-choices", type=count, metavar="N", help="or up to N of them, each once")
    search.add_argument("--choice-separator", metavar="TEXT", help="what stands between two (default: ', ')")
    search.add_argument("--json-schema", metavar="FILE", type=content, help="say JSON of this schema alone")
    search.add_argument("--regex", metavar="REGEX", help="say texts of this regular expression alone")
    search.add_argument("--lark", metavar="FILE", type=content, help="say texts of this Lark grammar alone")
    length = parser.add_argument_group("lengths and penalties")
    length.add_argument("--length-penalty", type=finite, metavar="X", help="larger favours longer translations")
    _choice(length, "--length-penalty-kind", LengthPenaltyKind, "what --length-penalty means")
    length.add_argument("--word-penalty", type=finite, metavar="X", help="added to the score for each token")
    length.add_argument("--coverage-penalty", type=finite, metavar="X", help="for source words nothing attends to")
    length.add_argument("--min-length", type=at_least_zero, metavar="N", help="fewest tokens of a translation")
    length.add_argument("--max-length", type=count, metavar="N", help="most tokens of a sentence's translation")
    length.add_argument("--max-length-factor", type=positive, metavar="X", help="most target tokens a source token")
    length.add_argument("--repetition-penalty", type=positive, metavar="X", help="above 1: repeats are less likely")
    length.add_argument("--no-repeat-ngram-size", type=at_least_zero, metavar="N", help="no N tokens come twice")
    length.add_argument(
        "--source-no-repeat-ngram-size", type=at_least_zero, metavar="N", help="no N tokens of the source come"
    )
    _register_words(parser)
    _register_engines(parser)
    sampling = parser.add_argument_group(
        "sampling; each of these asks for it, and --mbr-samples for a choice among draws"
    )
    sampling.add_argument("--sampling", action="store_true", help="draw tokens at random")
    sampling.add_argument("--top-k", type=count, metavar="N", help="only from the N most probable tokens")
    sampling.add_argument("--top-p", type=positive, metavar="X", help="only from those that have X together")
    sampling.add_argument("--temperature", type=positive, metavar="X", help="below 1 more certain, above more varied")
    sampling.add_argument("--min-p", type=finite, metavar="X", help="only from those X times as probable as the best")
    sampling.add_argument("--epsilon", type=finite, metavar="X", help="never a token that the model gives less than X")
    sampling.add_argument("--mbr-samples", type=count, metavar="N", help="answer with what N draws agree on most")
    sampling.add_argument("--seed", type=at_least_zero, metavar="N", help="makes the draws repeatable")


def _register_engines(parser: ArgumentParser) -> None:
    nat = parser.add_argument_group("decoding without autoregression; where --engine nat, fast or auto runs it")
    nat.add_argument("--passes", type=count, metavar="N", help="refinement passes over the whole text")
    nat.add_argument("--length-scale", type=positive, metavar="X", help="multiplies the predicted length")
    nat.add_argument("--exact-length", type=count, metavar="N", help="tokens of each segment, instead of a prediction")
    nat.add_argument("--length-candidates", type=count, metavar="N", help="lengths tried side by side; the best wins")
    nat.add_argument("--nat-decoder", metavar="NAME", help="which of the model's decoders runs: see dragoman models")
    nat.add_argument("--rescore", action="store_const", const=True, help="let the other decoder score and choose")
    drafts = parser.add_argument_group("speculation; where --engine speculative, balanced, fast or auto runs it")
    _choice(drafts, "--draft", DraftSource, "where drafts come from")
    drafts.add_argument("--draft-tokens", type=count, metavar="N", help="tokens drafted at a time")
    drafts.add_argument("--lossy-top", type=count, metavar="N", help="accept drafts among the N best words: NOT exact")
    drafts.add_argument("--lossy-margin", type=finite, metavar="X", help="and at most X less probable than the best")


def _register_words(parser: ArgumentParser) -> None:
    words = parser.add_argument_group("words")
    words.add_argument("--prefix", dest="target_prefix", metavar="TEXT", help="what each translation begins with")
    words.add_argument("--context", metavar="TEXT", help="what comes before each text, for models that read it")
    words.add_argument(
        "--suppress",
        dest="suppressed_tokens",
        action="append",
        metavar="TOKEN",
        help="never emit this token of the vocabulary; may be repeated",
    )
    _choice(words, "--unknown-handling", UnknownHandling, "what becomes of unknown words")
    words.add_argument(
        "--shortlist", action=BooleanOptionalAction, help="choose words from the lexical shortlist only: faster"
    )
    texts = parser.add_argument_group("texts and results")
    _choice(texts, "--format", InputFormat, "how the texts are written (default: plain)")
    texts.add_argument(
        "--translate-attributes",
        action="store_const",
        const=True,
        help="translate alt, title, placeholder and aria-label, too; with a --format that has them",
    )
    _choice(texts, "--splitting", Splitting, "what the model sees at once (default: the model's own, mostly sentences)")
    _choice(
        texts,
        "--on-too-long",
        OnTooLong,
        "what is done with a segment that is too long (default: the model's own, mostly split)",
    )
    _choice(texts, "--on-loop", OnLoop, "what is done with a search that can only repeat itself (default: stop)")
    texts.add_argument(
        "--protect",
        action="append",
        type=member(SpanKind),
        metavar="KIND",
        help=f"protect this kind of spans, and no other that is not named: {', '.join(KINDS)}; may be repeated",
    )
    texts.add_argument(
        "--no-protect",
        action="append",
        type=_kind_or_all,
        metavar="KIND",
        help="protect all kinds but this one; all: none of them; may be repeated",
    )
    texts.add_argument(
        "--pattern",
        dest="patterns",
        action="append",
        metavar="RE2",
        help="protect what this regular expression matches; may be repeated",
    )
    _choice(texts, "--priority", Priority, "who goes first when several wait (default: normal)")
    _choice(texts, "--cache", CacheMode, "use and keep what a server remembers (default: both)")
    texts.add_argument("--scores", action="store_const", const=True, help="each hypothesis's score, in --json")
    texts.add_argument("--token-scores", action="store_const", const=True, help="each token's, in --json")
    texts.add_argument("--alignments", action="store_const", const=True, help="links between words, in --json")
    texts.add_argument("--sentence-spans", action="store_const", const=True, help="where sentences went, in --json")
    texts.add_argument("--kept-spans", action="store_const", const=True, help="where protected spans went, in --json")
    _choice(texts, "--offset-unit", OffsetUnit, "what offsets count (default: code_point)")


def _choice(group: Arguments, name: str, kind: Any, text: str) -> None:
    known = [value for value in kind if value.name != "UNKNOWN"]
    group.add_argument(name, type=member(kind), metavar=f"{{{','.join(known)}}}", help=text)


def _kind_or_all(text: str) -> str:
    return ALL if text == ALL else member(SpanKind)(text)


def _protection(args: Namespace) -> Protection | None:
    """What is protected, where the command line says anything about it."""
    patterns = tuple(args.patterns) if args.patterns else None
    if not args.protect and not args.no_protect:
        return Protection(patterns=patterns) if patterns else None
    left_out = args.no_protect or []
    kinds = tuple(kind for kind in args.protect or KINDS if kind not in left_out and ALL not in left_out)
    return Protection(kinds or None, patterns, None if kinds else True)


def options(args: Namespace) -> Options:
    """The options that a command line stands for."""
    others = {"alternatives", "choice", "grammar", "suppressed_tokens", "sampling", "terms", "glossaries"}
    names = {field.name for field in dataclasses.fields(Options)} - others
    given = {name: value for name, value in vars(args).items() if name in names and value is not None}
    sampling = Sampling(args.top_k, args.top_p, args.temperature, args.seed, args.min_p, args.epsilon)
    drawn = sampling if args.sampling or sampling != Sampling() else None
    diversity = Diversity(args.diversity_groups, args.diversity_penalty)
    alternatives = Alternatives(args.alternatives, args.min_probability)
    choice = Labels(tuple(args.choice) if args.choice else None, args.most_choices, args.choice_separator)
    grammar = Grammar(args.json_schema, args.regex, args.lark)
    lengths = (args.passes, args.length_scale, args.exact_length, args.length_candidates)
    nat = Nat(*lengths, args.nat_decoder, args.rescore)
    lossy = Lossy(args.lossy_top, args.lossy_margin)
    speculation = Speculation(args.draft, args.draft_tokens, lossy if lossy != Lossy() else None)
    return Options(
        **given,
        suppressed_tokens=tuple(args.suppressed_tokens) if args.suppressed_tokens else None,
        sampling=None if args.mbr_samples else drawn,
        minimum_bayes_risk=MinimumBayesRisk(args.mbr_samples, drawn) if args.mbr_samples else None,
        diversity=diversity if diversity != Diversity() else None,
        alternatives=alternatives if alternatives != Alternatives() else None,
        choice=choice if choice != Labels() else None,
        grammar=grammar if grammar != Grammar() else None,
        nat=nat if nat != Nat() else None,
        protection=_protection(args),
        speculation=speculation if speculation != Speculation() else None,
    )
