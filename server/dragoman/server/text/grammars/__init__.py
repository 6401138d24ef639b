"""Translations that follow a grammar of the caller's."""
