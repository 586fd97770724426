"""The attack engine beside torchattacks, foolbox, ART and adv-lib: speed, strength, and what survives storing.

python -m benchmarks.attacks --help
"""
