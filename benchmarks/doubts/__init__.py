"""The warnings of evaluations, tried on models with known faults and with none."""
