"""What the decoder keeps of nodes and of sources: which of it is whose, and what sees what."""
