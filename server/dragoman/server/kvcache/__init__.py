"""What the decoder keeps of nodes and sources, on a host or a device."""
