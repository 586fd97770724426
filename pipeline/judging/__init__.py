"""Verdicts on stored pixels, by the model under attack and by held-out models; signs of gradient masking."""
