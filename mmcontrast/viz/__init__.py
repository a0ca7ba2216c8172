"""Drawings: arrays to images, and figures to plots. Nothing here computes a figure."""
