"""The command line's own tools: the subcommands, checked arguments, a progress line, pictures."""
