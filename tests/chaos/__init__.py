"""What dies while a dataset is made, and what must be true afterwards: `faults.py` is the table of it.

Everything here is real: processes of the command line, a Ray cluster of several raylets on this machine, and an S3 API
behind a proxy that fails on demand. Moments and victims are drawn from one seed, HARDSET_CHAOS_SEED, which is printed.
"""
