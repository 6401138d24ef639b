"""Search, drafts and canvases as pure computations."""
