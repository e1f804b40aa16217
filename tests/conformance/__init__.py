"""What every store promises, tried on each: SQLite and PostgreSQL, in clear and sealed."""
