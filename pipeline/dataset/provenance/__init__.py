"""What others read of a run: dataset card, Croissant, in-toto statement, OpenLineage events."""
