"""Apps in the browser, on ``mmcontrast.predict`` and ``mmcontrast.loading``; reachable as ``mmcontrast.apps`` too."""
