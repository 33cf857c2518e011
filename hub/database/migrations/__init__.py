"""The steps by which the hub's database came to its present shape (Alembic)."""
