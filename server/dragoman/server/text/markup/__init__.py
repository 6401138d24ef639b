"""Texts with mark-up: what in them is text, and the way back of its translation to where it stood."""
