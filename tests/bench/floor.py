"""The machine's own floor: what its products alone allow, in one process and in two, beside which every speed stands.

A graph has all products of one decoder step of the random model (`random_model.BIG`: 6 layers, d 512, ffn 2048,
32,000 words), each with weights of its own as a step reads them, and nothing else: no quantising, attention, norm or
copy. Integer products are the exact ones of this processor. It runs in ONNX Runtime with one thread, in a process
that is bound to one processor, with so many rows; then in two such processes at a time on two processors. Where these
are threads of one core, or the memory is too slow for two, two processes do less than twice what one does. Figures
are medians of runs in processor time, in 10^9 products a second.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from measure import median, processor, progress, usable

STEP = {(512, 512): 36, (512, 2048): 6, (2048, 512): 6, (512, 32000): 1}
"""How many products of each shape a step has: queries, keys, values and what is made of them, twice a layer but for the
source's keys and values; both halves of the feed-forward; the output layer."""
PRODUCTS = sum(inputs * outputs * count for (inputs, outputs), count in STEP.items())
"""Of a row."""
ROWS = (1, 16, 64)
FORMS = ("int8", "float32")
SECONDS = 1.0
"""That each figure is measured for."""
Speeds = dict[str, dict[int, float]]
"""10^9 products a second, by form and rows."""
SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True)
class Floor:
    """What products alone allow one process, and two together."""

    one: Speeds
    two: Speeds
    """Empty where a process may use one processor only."""
    shares_core: bool
    """Whether the system says that both processors are threads of one core; a virtual machine may not know."""

    def line(self) -> str:
        """What is printed beside other figures: of the most rows, and what that is in tokens of the decoder."""
        parts = []
        for form in FORMS:
            alone = self.one[form][ROWS[-1]]
            both = f", {self.two[form][ROWS[-1]]:.0f} in two processes" if self.two else ""
            parts.append(f"{form} {alone:.0f}{both} ({1e9 * alone / PRODUCTS:,.0f} tokens/s a processor)")
        core = "; both processors are threads of one core" if self.shares_core else ""
        return f"floor, 10^9 products/s of a decoder step with {ROWS[-1]} rows: {'; '.join(parts)}{core}"


def model_of(form: str) -> bytes:
    """The graph: `narrow` [rows, 512] and `wide` [rows, 2048] go in, the best of nothing comes out."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    is_int8 = form == "int8"
    nodes, weights, outputs = [], [], []
    for (inputs, columns), count in STEP.items():
        for n in range(count):
            name = f"{inputs}x{columns}.{n}"
            drawn = random.integers(-127, 128, (inputs, columns), np.int8)
            weights.append(numpy_helper.from_array(drawn if is_int8 else drawn.astype(np.float32), name))
            given = ["narrow" if inputs == 512 else "wide", name]
            if is_int8:
                given += ["row_scale", f"{columns}.scale", "row_zero"]
            kind, domain = ("MatMulIntegerToFloat", "com.microsoft") if is_int8 else ("MatMul", "")
            nodes.append(helper.make_node(kind, given, [f"{name}.out"], domain=domain))
            outputs.append(helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, ["rows", columns]))
    if is_int8:
        weights += [
            numpy_helper.from_array(np.full(columns, 1e-3, np.float32), f"{columns}.scale")
            for columns in sorted({columns for _, columns in STEP})
        ]
        weights += [
            numpy_helper.from_array(np.array(1e-3, np.float32), "row_scale"),
            numpy_helper.from_array(np.array(128, np.uint8), "row_zero"),
        ]
    dtype = TensorProto.UINT8 if is_int8 else TensorProto.FLOAT
    fed = [
        helper.make_tensor_value_info(name, dtype, ["rows", size]) for name, size in (("narrow", 512), ("wide", 2048))
    ]
    graph = helper.make_graph(nodes, "floor", fed, outputs, weights)
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    content: bytes = helper.make_model(graph, opset_imports=sets, ir_version=10).SerializeToString()
    return content


def products(processor_number: int, rows: Sequence[int], seconds: float, together: Barrier, found: Any) -> None:
    """In a process of its own: 10^9 products a second by form and rows; each figure is begun when all are ready."""
    from dragoman.bundle.onnx_runtime import onnxruntime, open_graph

    os.sched_setaffinity(0, [processor_number])
    speeds: Speeds = {}
    for form in FORMS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = open_graph(model_of(form), Path(), options)
        dtype, speeds[form] = np.uint8 if form == "int8" else np.float32, {}
        for count in rows:
            feed = {"narrow": np.ones((count, 512), dtype), "wide": np.ones((count, 2048), dtype)}
            session.run(None, feed)
            together.wait()
            speeds[form][count] = 1e-9 * PRODUCTS * count / median(_runs(session, feed, seconds))
    found.put(speeds)


def _runs(session: Any, feed: dict[str, Any], seconds: float) -> list[float]:
    """Seconds of processor time of each run, for so long."""
    took, until_s = [], time.perf_counter() + seconds
    while time.perf_counter() < until_s or len(took) < 3:
        started_s = time.thread_time()
        session.run(None, feed)
        took.append(time.thread_time() - started_s)
    return took


def side_by_side(processors: Sequence[int], rows: Sequence[int], seconds: float) -> Speeds:
    """All processes' speeds added up."""
    context = multiprocessing.get_context("spawn")
    together, found = context.Barrier(len(processors)), context.Queue()
    given = rows, seconds, together, found
    processes = [context.Process(target=products, args=(number, *given)) for number in processors]
    for process in processes:
        process.start()
    speeds = [found.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return {form: {count: sum(speed[form][count] for speed in speeds) for count in rows} for form in FORMS}


def shares_core(processors: Sequence[int]) -> bool:
    """Whether the system says that these are threads of one core."""
    try:
        return len({Path(SIBLINGS.format(number)).read_text(encoding="ascii") for number in processors}) == 1
    except OSError:
        return False


def measured(rows: Sequence[int] = ROWS, seconds: float = SECONDS) -> Floor:
    """The floor of the processors that this process may use, two at most."""
    processors = usable(1) if len(os.sched_getaffinity(0)) == 1 else usable(2)
    progress("the floor: products alone, in one process")
    one = side_by_side(processors[:1], rows, seconds)
    progress("the floor: products alone, in two processes")
    two = side_by_side(processors, rows, seconds) if len(processors) > 1 else {}
    progress("")
    return Floor(one, two, len(processors) > 1 and shares_core(processors))


def beside() -> Floor:
    """The floor that a comparison prints beside its own figures: of the most rows alone."""
    return measured(ROWS[-1:])


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each figure (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    floor = measured(seconds=args.seconds)
    if args.json:
        print(json.dumps({"processor": processor(), **vars(floor)}, indent=2))
        return 0
    said = (
        "" if not floor.two else ", which are threads of one core" if floor.shares_core else ", each a core's only one"
    )
    print(f"{processor()}; {2 if floor.two else 1} processors{said}, as the system says")
    print(f"{'10^9 products a second':26}{'one process':>14}{'two together':>14}{'of one':>8}")
    for form in FORMS:
        for rows, speed in floor.one[form].items():
            both = floor.two.get(form, {}).get(rows)
            compared = "" if both is None else f"{both:14.0f}{both / speed:8.2f}"
            print(f"{form:8} {rows:3} rows a step{'':4}{speed:14.0f}{compared}")
    print(floor.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
