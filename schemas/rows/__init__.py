"""The row contract: columns, flags, and the contract in SQL and tables."""
