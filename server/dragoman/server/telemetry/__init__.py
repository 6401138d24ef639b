"""Metrics, and the watch over lanes and the event loop."""
