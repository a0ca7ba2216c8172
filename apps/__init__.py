"""Browser apps on top of ``mmcontrast.predict``; the wheel carries them as ``mmcontrast.apps``."""
