"""Which NVIDIA GPUs are here: a line of JSON, or one plain sentence and the exit status 1. Needs CUDA's driver alone.

card.py [--json FILE]
"""

import argparse
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

NAME_BYTES = 128


def cards() -> dict[str, Any]:
    """What the driver says of itself and of its GPUs. Raises `OSError` where there is none."""
    driver = ctypes.CDLL("libcuda.so.1")
    if code := driver.cuInit(0):
        raise OSError(f"CUDA's driver does not start (error {code})")
    count, version, names = ctypes.c_int(), ctypes.c_int(), []
    driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(version))
    for index in range(count.value):
        name = ctypes.create_string_buffer(NAME_BYTES)
        driver.cuDeviceGetName(name, NAME_BYTES, index)
        names.append(name.value.decode())
    if not names:
        raise OSError("CUDA's driver finds no GPU")
    return {"cards": names, "cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}


def main() -> int:
    """Say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it to FILE")
    args = parser.parse_args()
    try:
        found = cards()
    except OSError as error:
        print(f"no NVIDIA GPU here: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(found), "utf-8")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
