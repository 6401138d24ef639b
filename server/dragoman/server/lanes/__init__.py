"""Threads that step groups of sources, and the backlogs that feed them."""
