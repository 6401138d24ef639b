"""Marian models, Firefox's students among them."""
