"""The GPU check: whether hardset is right on a CUDA device, and how fast. Started by `python -m benchmarks.gpu`."""
