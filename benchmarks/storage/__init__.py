"""What a durable message costs: the storage actor on SQLite beside sqlite3 alone."""
