"""Verdicts on stored pixels, by the model under attack and by held-out models; symptoms of gradient masking."""
