"""`dragoman bench`: an open-loop load generator and its report."""
