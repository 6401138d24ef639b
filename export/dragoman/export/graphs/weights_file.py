"""All graphs of a bundle on disk: their weights lie in one file beside them, each of them once."""

import hashlib
from pathlib import Path

import onnx_ir as ir

from dragoman.bundle.graphs import file_of

WEIGHTS_FILE = "weights.bin"
ALIGNMENT = 4096
"""Each weight begins at a multiple of this in the file, so that it can be mapped into memory."""
SMALL = 1024
"""Constants up to this many bytes stay inside the graph, where shape inference sees them."""


def save(models: dict[str, ir.Model], directory: Path) -> None:
    """Write every graph, and the weights of all of them into one file, equal ones once."""
    places: dict[str, tuple[int, int]] = {}
    with (directory / WEIGHTS_FILE).open("wb") as file:
        for model in models.values():
            for value in model.graph.initializers.values():
                tensor = value.const_value
                assert tensor is not None
                if tensor.nbytes <= SMALL:
                    continue
                data = tensor.tobytes()
                key = f"{hashlib.sha256(data).hexdigest()}:{len(data)}"
                if key not in places:
                    file.write(b"\0" * (-file.tell() % ALIGNMENT))
                    places[key] = file.tell(), len(data)
                    file.write(data)
                offset, length = places[key]
                value.const_value = ir.ExternalTensor(
                    WEIGHTS_FILE,
                    offset,
                    length,
                    tensor.dtype,
                    shape=ir.Shape(tensor.shape.numpy()),
                    name=str(value.name),
                    base_dir=directory,
                )
    for name, model in models.items():
        ir.save(model, directory / file_of(name))
