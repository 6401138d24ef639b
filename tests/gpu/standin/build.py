"""Fetches onnxruntime-gpu and CUDA's headers, and builds the stand-in: `build.py FOLDER`.

FOLDER gets `site` (the wheel, unpacked and not installed: the environment's own ONNX Runtime stays as it is), `cuda`
(headers alone), `lib` (the stand-in's libraries under CUDA's names) and `cudnn` (that of cuDNN, apart).
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
CONSTRAINTS = HERE.parents[2] / "constraints.txt"
HEADERS = ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-crt==13.0.88")
UNUSED = ("onnxruntime/transformers/*", "onnxruntime/quantization/*", "*tensorrt*", "onnxruntime/tools/*")
LIBRARIES = {
    "libcudart.so.13": "cudart.cpp",
    "libcublas.so.13": "cublas.cpp",
    "libcublasLt.so.13": "cublas.cpp",
    "libcurand.so.10": "cublas.cpp",
    "libcuda.so.1": "cublas.cpp",
}


def fetch(folder: Path) -> None:
    """The wheels, by pip, and of each what is of use."""
    wheels = folder / "wheels"
    versions = dict(line.split("==") for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line)
    wanted = (f"onnxruntime-gpu=={versions['onnxruntime-gpu']}", *HEADERS)
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, "--only-binary", ":all:", "--dest", str(wheels), *wanted], check=True)
    for wheel in wheels.glob("*.whl"):
        is_server = wheel.name.startswith("onnxruntime")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                is_used = not any(Path(name).match(unused) for unused in UNUSED) if is_server else "/include/" in name
                if is_used:
                    archive.extract(name, folder / ("site" if is_server else "cuda"))
    shutil.rmtree(wheels)


def build(folder: Path) -> None:
    """One library for each of CUDA's names, with the versions of symbols that the provider asks for."""
    for name in ("lib", "cudnn"):
        (folder / name).mkdir(exist_ok=True)
    include = next((folder / "cuda").glob("nvidia/*/include"))
    for library, source in LIBRARIES.items():
        _compile(
            HERE / source,
            folder / "lib" / library,
            include,
            *(["-l:libcudart.so.13"] if "cudart" not in source else []),
        )
    _compile(HERE / "cudnn.cpp", folder / "cudnn/libcudnn.so.9", include, "-l:libcudart.so.13")


def _compile(source: Path, library: Path, include: Path, *options: str) -> None:
    versions = library.with_suffix(".map")
    versions.write_text(f"{library.name} {{ global: *; }};\n", "utf-8")
    named = [] if library.name == "libcuda.so.1" else [f"-Wl,--version-script={versions}"]
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-w", f"-I{include}", str(source), "-o", str(library)]
    libraries = [f"-L{library.parent.parent / 'lib'}", *options]
    subprocess.run([*command, f"-Wl,-soname,{library.name}", *named, *libraries], check=True)


def main() -> None:
    """Do what is not done."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "site").is_dir():
        fetch(folder)
    build(folder)


if __name__ == "__main__":
    main()
