"""The contract between who writes a glossary and who reads it: terms, and files of them."""
