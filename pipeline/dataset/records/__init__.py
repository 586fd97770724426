"""Records of runs: the commit protocol, the lease on an output, and seals."""
