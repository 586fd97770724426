"""Tables of other formats over the data files of a finished run: nothing is copied, one table version per run."""
