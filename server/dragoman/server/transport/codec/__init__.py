"""Between the wire's messages and the server's values."""
