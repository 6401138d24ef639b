"""The subcommands that call a server, or stand in for one."""
