"""What of a text must not change: by its looks, by the request's patterns, by what the model cannot say."""
