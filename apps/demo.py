"""All apps on one page: ``mmcontrast app``, ``make app`` or ``python apps/demo.py``."""

import gradio as gr
from mmcontrast.apps import look_inside, match, track, zero_shot

TITLE = "mmcontrast"
APPS = (zero_shot, match, track, look_inside)


def build(name: str | None = None) -> None:
    """Adds one tab per app to the page that is being built.

    Args:
        name: Model to start with in every tab. None stands for the bundled one of each tab.
    """
    gr.Markdown(
        "# mmcontrast\nClassify images by labels, match points, track objects and look into models. "
        "Your files stay on this machine."
    )
    with gr.Tabs():
        for app in APPS:
            with gr.Tab(app.TITLE):
                app.build(name)


if __name__ == "__main__":
    from mmcontrast.cli.main import main

    raise SystemExit(main(["app", "demo"]))
