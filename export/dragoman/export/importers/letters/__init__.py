"""Models of letters and sounds, as the Python packages g2p-en and e2k carry them."""
