"""Data sets, readers and device-side augmentations, importable by short name."""
