"""The composition root, the options, and the commands and programs that run a server."""
