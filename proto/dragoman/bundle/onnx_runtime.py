"""ONNX Runtime, which runs a bundle's graphs, without what it reports to its maker.

Its packages for Linux and macOS do so from 1.29 on, unless the environment says otherwise before they are imported: of
each process and each graph, from threads of their own, with a database in the home directory. So nothing else of
dragoman imports it. Whoever does want to report sets `ORT_DISABLE_TELEMETRY=0`.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # and reads the environment, once

__all__ = ["onnxruntime"]
