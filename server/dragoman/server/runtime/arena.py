"""The memory that all graphs on the processor take their tensors from, and give back when it is asked for.

By default each session has an arena of its own, which keeps the most that any of its runs took; without one, the C
library is asked for each tensor, which takes up to a tenth of a run. So all sessions share one arena. It grows by no
more than it is asked for, and a run may ask it to return what is free.
"""

from functools import cache
from typing import Any

SHARED = ("session.use_env_allocators", "1")
"""What a session is told to take its memory from the arena; there must be one by then."""
_SHRINKS = ("memory.enable_memory_arena_shrinkage", "cpu:0")
_AS_REQUESTED = 1
_IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""The smallest graph there is: it returns its input, one number. Nothing but a run returns what is free."""


@cache
def make() -> None:
    """Make the arena, once in this process."""
    import onnxruntime

    kind, memory = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    grows = {"arena_extend_strategy": _AS_REQUESTED, "initial_chunk_size_bytes": 1 << 20}
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(grows))


def give_back() -> None:
    """Return to the C library what no tensor is in; from any thread, whatever runs meanwhile."""
    import numpy as np
    from onnxruntime import RunOptions

    options = RunOptions()
    options.add_run_config_entry(*_SHRINKS)
    _session().run(None, {"x": np.zeros(1, np.float32)}, options)


@cache
def _session() -> Any:
    import onnxruntime

    make()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry(*SHARED)
    return onnxruntime.InferenceSession(_IDENTITY, options, providers=["CPUExecutionProvider"])
