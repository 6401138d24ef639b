"""Texts to segments and back: layout, tokens, alignment."""
