"""Settings of the augmentation operations; what draws and applies them stands in `pipeline.augment`."""
