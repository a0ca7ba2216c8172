"""Gradio apps; they import ``mmcontrast.loading`` and ``mmcontrast.predict`` only."""
