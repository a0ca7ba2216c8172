"""The recipes: one YAML file per training run; the wheel carries them as ``mmcontrast.recipes``."""
