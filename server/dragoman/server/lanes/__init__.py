"""Threads that step groups of segments, and the backlog that feeds them."""
