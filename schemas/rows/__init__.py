"""Row contract: columns, flags, success, SQL and tables."""
