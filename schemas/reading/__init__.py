"""From text to a declared record, and every fault in one sentence."""
