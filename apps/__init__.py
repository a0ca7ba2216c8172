"""Gradio apps; they import ``mmcontrast.load`` and ``mmcontrast.predict`` only."""
