"""Serves the app that ``mmcontrast app`` names."""

import importlib


def serve_app(which: str, model: str | None = None, port: int | None = None) -> int:
    """Serves an app to a browser on this machine until Ctrl-C.

    Args:
        which: Name of the app, such as "zero-shot".
        model: Model to begin with. None stands for the bundled one of each app.
        port: Port to serve at. None stands for the first free one from 7860.

    Returns:
        The exit status.
    """
    from .page import page, serve

    app = importlib.import_module(f"mmcontrast.apps.{which.replace('-', '_')}")
    with page(app.TITLE) as blocks:
        app.build(model)
    return serve(blocks, port)
