"""`python -m jobs`: the command line where hardset is not installed, as on a cluster that the code was sent to."""

from jobs.app import main

main()
