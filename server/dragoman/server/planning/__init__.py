"""From a request to a plan: decoding settings, engines, bounds."""
