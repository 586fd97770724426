"""How rows are made, judged, stored, audited and learnt from; one room per concern, docs/architecture.md tells them."""
