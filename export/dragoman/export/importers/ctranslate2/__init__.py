"""Folders that CTranslate2 converts Transformers into."""
