"""What hardset promises: job files, the row contract, and the records of a run.

Nothing here imports torch or Ray, so a scheduler or a reader can use the contract alone.
"""
