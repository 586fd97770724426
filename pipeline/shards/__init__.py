"""One shard from read to receipt."""
