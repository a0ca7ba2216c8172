"""Scripts that download or make data sets; the wheel carries them as ``mmcontrast.data_scripts``."""
