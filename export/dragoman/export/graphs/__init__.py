"""From the network to ONNX graphs: their modules, signatures and traces."""
