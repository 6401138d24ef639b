"""The network as ONNX graphs: modules, traces, the weights file, runs."""
