"""From a request to its plans: decoding settings, engines, what a bundle can do."""
