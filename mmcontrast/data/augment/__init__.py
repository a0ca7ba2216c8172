"""Augmentations of whole batches, on the device that trains."""
