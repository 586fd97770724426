"""Augmentation: parameters drawn for each row, then applied to the batch."""
