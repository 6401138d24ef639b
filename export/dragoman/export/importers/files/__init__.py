"""What several formats read: tensors, pickles, JSON, model cards, tables of names and languages."""
