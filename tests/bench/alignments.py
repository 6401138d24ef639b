"""Alignments: how often a decoder looks at the wrong word, with guided attention and without.

In a language that is made up, every word has one translation and a rank, and a translation has the words in the order
of their ranks: which word comes from which is known. A small teacher learns it, and one head of it the links. Two
students are distilled from the teacher, one of them with `--guided-attention`. The alignment error rate is of the
strongest link of each word, as a server says it: by one head where that was taught, by the mean of all where not.

With `--teacher` and `--bundle`, decoders of bundles are compared with the teacher's links in its own translations.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

VOCABULARY, EOS, START, LEAST, MOST = 24, 0, 24, 3, 8
PAIRS, TESTED, BATCH = 2000, 300, 32
WEIGHT = 0.1
Links = list[set[tuple[object, object]]]


def error_rate(said: Links, gold: Links) -> float:
    """Of links that are all certain: 0 where they are the same, 1 where none is."""
    both = sum(len(a & b) for a, b in zip(said, gold, strict=True))
    return 1 - 2 * both / (sum(map(len, said)) + sum(map(len, gold)))


@dataclass(frozen=True)
class Language:
    """Pairs of ids, each with its end, and for each target word the source word that it comes from."""

    sources: Sequence[list[int]]
    targets: Sequence[list[int]]
    links: Sequence[list[int]]

    @classmethod
    def of(cls, count: int, seed: int) -> "Language":
        """So many sentences; words and ranks are the same whatever the seed."""
        import numpy as np

        words = np.random.default_rng(1)
        said = dict(zip(range(2, VOCABULARY), words.permutation(range(2, VOCABULARY)).tolist(), strict=True))
        rank = dict(zip(range(2, VOCABULARY), words.permutation(VOCABULARY - 2).tolist(), strict=True))
        random, sources, targets, links = np.random.default_rng(seed), [], [], []
        for _ in range(count):
            source = random.permutation(range(2, VOCABULARY))[: random.integers(LEAST, MOST + 1)].tolist()
            order = sorted(range(len(source)), key=lambda n, source=source: rank[source[n]])  # type: ignore[misc]
            sources.append([*source, EOS])
            targets.append([*(said[source[n]] for n in order), EOS])
            links.append([*order, len(source)])  # the end comes from the end
        return cls(sources, targets, links)


def taught(language: Language, steps: int) -> Any:
    """A teacher: a small Transformer that learns the words, and with its first head the links."""
    import numpy as np
    import torch

    from dragoman.bundle.manifest import Architecture
    from dragoman.export.network.network import Network

    torch.manual_seed(3)
    arch = Architecture(
        32, 4, 64, 1, 1, VOCABULARY, VOCABULARY, max_positions=64, embedding_scale=6.0, alignment_head=0
    )
    network = Network(arch)
    for name, weight in network.named_parameters():
        torch.nn.init.ones_(weight) if "norm.weight" in name else torch.nn.init.normal_(weight, std=0.12)
        if name.endswith("bias"):
            torch.nn.init.zeros_(weight)
    optimiser, random = torch.optim.Adam(network.parameters(), 1e-3), np.random.default_rng(5)
    for _ in range(steps):
        chosen = random.integers(0, PAIRS, BATCH).tolist()
        source, target, link = (
            padded([side[n] for n in chosen]) for side in (language.sources, language.targets, language.links)
        )
        rows, attention = read(network, source, target)
        is_word = torch.arange(target.shape[1]) < torch.tensor([len(language.targets[n]) for n in chosen])[:, None]
        logits = network.logits(rows).reshape(*target.shape, -1)
        right = attention.gather(2, link.unsqueeze(2))[..., 0].clamp_min(1e-9)
        loss = torch.nn.functional.cross_entropy(logits[is_word], target[is_word]) - 0.5 * right[is_word].log().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval().requires_grad_(False)


def padded(rows: Sequence[list[int]]) -> Any:
    """Rows of one length."""
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def read(network: Any, source: Any, target: Any) -> tuple[Any, Any]:
    """What a network's output layer reads along targets, and where it looks; the first end ends a source."""
    import torch

    from dragoman.export.network.network import MASKED

    is_end = source == EOS
    behind = (is_end.cumsum(1) - is_end.long()) > 0
    mask = behind[:, None, None].float() * MASKED
    before = torch.cat([torch.full_like(target[:, :1], START), target[:, :-1]], 1)
    rows, attention = network.attended(before, network.memory(source, mask), mask)
    return rows, attention


def distilled(teacher: Any, language: Language, directory: Path, epochs: float, weight: float) -> Any:
    """A student of the teacher, as `dragoman distill` trains it."""
    import torch

    from dragoman.export.distill.autoregressive import Autoregressive
    from dragoman.export.distill.corpus import Ragged, open_corpus, write_ids
    from dragoman.export.distill.students import with_autoregressive
    from dragoman.export.distill.teacher_rows import compute_rows
    from dragoman.export.distill.trainer import Settings, Trainer

    def encode(ids: Any, mask: Any) -> Any:
        places, depth = torch.arange(ids.numel()).reshape(ids.shape), torch.arange(ids.shape[1]).expand_as(ids)
        rows = teacher.encode(ids.flatten(), depth.flatten(), places.flatten(), places, mask)
        return rows[(mask[:, 0, 0] == 0).flatten()].numpy()

    directory.mkdir()
    write_ids(directory, Ragged.of(language.sources), Ragged.of(language.targets))
    compute_rows(teacher, encode, START, directory, lambda done, of: None)
    corpus = open_corpus(directory, teacher.arch.d_model, teacher.arch.d_model)
    network = with_autoregressive(teacher, 2, seed=1, is_guided=weight > 0)
    network.decoder.requires_grad_(True)
    student = Autoregressive(network, START, teacher if weight else None, weight)
    settings = Settings(epochs, BATCH * MOST, 2e-3, warm_up=20, evaluate_every=10**9, guided_attention=weight)
    cpu = torch.device("cpu")
    trainer = Trainer(student, corpus, settings, directory / "student.pt", device=cpu, half=False)
    trainer.run(dict, lambda point: None)
    trainer.use_mean()
    return network.requires_grad_(False)


def measured(network: Any, test: Language) -> tuple[float, float]:
    """The alignment error rate of a network along given translations, and its share of words right."""
    source, target = padded(test.sources), padded(test.targets)
    rows, attention = read(network, source, target)
    looks, says = attention.argmax(2).tolist(), network.logits(rows).argmax(1).reshape(target.shape).tolist()
    said: Links = [{(look[n], n) for n in range(len(link) - 1)} for look, link in zip(looks, test.links, strict=True)]
    gold: Links = [{(link[n], n) for n in range(len(link) - 1)} for link in test.links]
    right = [a == b for word, row in zip(says, test.targets, strict=True) for a, b in zip(word, row, strict=False)]
    return error_rate(said, gold), sum(right) / len(right)


def made_up(steps: int, epochs: float) -> None:
    """The table of the made-up language."""
    import torch

    torch.set_num_threads(1)
    language, test = Language.of(PAIRS, 11), Language.of(TESTED, 12)
    teacher = taught(language, steps)
    print("| a made-up language | alignment error rate | words right |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        ways = {"student": 0.0, f"student, --guided-attention {WEIGHT:g}": WEIGHT}
        networks = {"teacher": teacher} | {
            name: distilled(teacher, language, Path(folder, str(n)), epochs, weight)
            for n, (name, weight) in enumerate(ways.items())
        }
    for name, network in networks.items():
        error, right = measured(network, test)
        print(f"| {name} | {error:.3f} | {right:.1%} |", flush=True)


def real(teacher: Path, bundles: Sequence[Path], lines: Sequence[str]) -> None:
    """The table of bundles beside their teacher, along its translations."""
    from dragoman.bundle.reader import open_bundle
    from dragoman.server.app.translator import LocalTranslator
    from dragoman.server.core.protection import NO_PROTECTION
    from dragoman.server.core.requests import Output, Request, Splitting
    from dragoman.server.core.translations import Translation

    plain = Request(tuple(lines), splitting=Splitting.NONE, protection=NO_PROTECTION)
    with LocalTranslator(teacher) as translator:
        whole = translator.outcomes(plain)
    pairs = [(line, said.text) for line, said in zip(lines, whole, strict=True) if getattr(said, "text", "")]
    texts, said = (tuple(side) for side in zip(*pairs, strict=True))
    asked = replace(plain, texts=texts, prefixes=said, output=Output(alignments=True))

    def links(bundle: Path, decoder: str | None) -> Links:
        """The strongest link of each word of the given translations; none of one that a bundle cannot say."""
        found: Links = []
        with LocalTranslator(bundle) as translator:
            for outcome, given in zip(translator.outcomes(replace(asked, decoder=decoder)), said, strict=True):
                strongest: dict[Any, Any] = {}
                for link in outcome.hypotheses[0].alignments or () if isinstance(outcome, Translation) else ():
                    is_given = link.target.end <= len(given)
                    if is_given and (link.target not in strongest or link.weight > strongest[link.target].weight):
                        strongest[link.target] = link
                found.append({(link.source, target) for target, link in strongest.items()})
        return found

    gold = links(teacher, None)
    print(f"\n| {len(pairs)} lines, beside {teacher} | alignment error rate |\n|---|---|")
    for bundle in bundles:
        for decoder in open_bundle(bundle).manifest.decoders:
            print(f"| {bundle}, {decoder} | {error_rate(links(bundle, decoder), gold):.3f} |", flush=True)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of the teacher (default: 600)")
    parser.add_argument("--epochs", type=float, default=6.0, help="of each student (default: 6)")
    parser.add_argument("--teacher", type=Path, help="a bundle")
    parser.add_argument("--bundle", type=Path, action="append", default=[], help="a student's; may be repeated")
    parser.add_argument("--source", type=Path, help="sentences, one a line")
    args = parser.parse_args()
    made_up(args.steps, args.epochs)
    if args.teacher is not None:
        real(args.teacher, args.bundle, args.source.read_text(encoding="utf-8").splitlines()[:200])
    return 0


if __name__ == "__main__":
    sys.exit(main())
