"""Compares the attack engine with torchattacks, foolbox, ART and adv-lib: speed, strength, success after storing.

python -m benchmarks.attacks --help
"""
