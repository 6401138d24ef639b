"""Activations of a network on real texts, from which int8 takes its scales."""
