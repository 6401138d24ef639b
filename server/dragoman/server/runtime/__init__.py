"""ONNX Runtime: sessions, devices, buffers."""
