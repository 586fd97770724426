"""`python -m hardset`: the command line where hardset is not installed, as on a cluster that the code was sent to."""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]).resolve() == Path.cwd():
    del sys.path[0]  # the folder a command runs in shadows no library; verbs that need it append it

from hardset.jobs.app import main

main()
