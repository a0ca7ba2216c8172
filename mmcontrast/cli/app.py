"""``mmcontrast app``: the apps in a browser."""

from typing import Annotated, Literal

from typer import Argument, Option


def app(
    which: Annotated[
        Literal["demo", "zero-shot", "match", "track", "look-inside"],
        Argument(
            metavar="APP",
            help="App to open: demo (all in tabs), zero-shot, match, track or look-inside. Without it, demo.",
        ),
    ] = "demo",
    model: Annotated[
        str | None, Option(metavar="MODEL", help="Model to begin with; without it, the bundled one of each app.")
    ] = None,
    port: Annotated[
        int | None,
        Option(metavar="N", min=1, max=65535, help="Port to serve at; without it, the first free from 7860."),
    ] = None,
) -> int:
    """Serve the apps to a browser on this machine.

    Nothing outside this machine can reach them.

      mmcontrast app
      mmcontrast app track --port 8000
    """
    from mmcontrast.apps.cli import serve_app

    return int(serve_app(which, model, port))
