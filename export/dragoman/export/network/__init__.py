"""The canonical network, written once: what is exported, compared and trained."""
