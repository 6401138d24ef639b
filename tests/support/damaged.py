"""Bundles that are not what they were: copies whose files are changed, and numbers poked into a server's memory."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

NAN = struct.pack("<f", float("nan"))
LEAST_BYTES = 2048


def changed(bundle: Path, to: Path, change: Callable[[Path, dict[str, Any]], None]) -> Path:
    """A copy with a change of its files or its manifest, and digests that fit."""
    shutil.copytree(bundle, to)
    manifest = json.loads((to / "manifest.json").read_text("utf-8"))
    change(to, manifest)
    for name in manifest["files"]:
        content = (to / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (to / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")
    return to


def float_regions(bundle: Path, graph: str) -> list[tuple[int, int]]:
    """Where a graph's float32 weights lie in weights.bin: offset and length."""
    model = onnx.load(str(bundle / graph), load_external_data=False)
    regions = []
    for tensor in model.graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.data_type == onnx.TensorProto.FLOAT and where.get("location") == "weights.bin":
            regions.append((int(where["offset"]), int(where["length"])))
    return regions


def not_numbers(folder: Path, manifest: dict[str, Any], graph: str) -> None:
    """Every float32 weight of a graph that lies in weights.bin is NaN."""
    weights = bytearray((folder / "weights.bin").read_bytes())
    for offset, length in float_regions(folder, manifest["graphs"][graph]["file"]):
        weights[offset : offset + length] = NAN * (length // 4)
    (folder / "weights.bin").write_bytes(weights)


def poke_not_numbers(pid: int, bundle: Path, graph: str) -> int:
    """Overwrite a graph's float32 weights in a process's memory with NaN; how many places were found."""
    weights = (bundle / "weights.bin").read_bytes()
    regions = [region for region in float_regions(bundle, f"{graph}.onnx") if region[1] >= LEAST_BYTES]
    places = 0
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text("ascii", "replace").splitlines():
            addresses, rights, *_ = line.split()
            start, end = (int(number, 16) for number in addresses.split("-"))
            if not rights.startswith("rw"):
                continue
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:
                continue
            for offset, length in regions:
                at = content.find(weights[offset : offset + length])
                while at >= 0:
                    memory.seek(start + at)
                    memory.write(NAN * (length // 4))
                    places += 1
                    at = content.find(weights[offset : offset + length], at + 1)
    return places
