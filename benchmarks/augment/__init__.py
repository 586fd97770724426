"""Augmentation beside albumentations, kornia and torchvision: rows per second of one core, operation by operation."""
