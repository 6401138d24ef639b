"""What several formats read: tensors, JSON, model cards, tables of names."""
