"""PostgreSQL: what the hub remembers, how it is reached, and the embedded server."""
