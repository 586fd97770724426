"""Reading of declared records from text, with every fault in one sentence."""
