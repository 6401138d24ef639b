"""gRPC and HTTP: messages in, messages out."""
