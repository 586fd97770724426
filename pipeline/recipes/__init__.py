"""The recipes of a job: objects that make rows, and texts that name them."""
