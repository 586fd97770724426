"""What the verbs say of what was done: sentences, tables, pictures."""
