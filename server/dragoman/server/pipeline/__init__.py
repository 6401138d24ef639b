"""One bundle from text to text: admission, routing, answers."""
