"""The inference server: text in, translations out, over gRPC."""
