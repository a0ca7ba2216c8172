"""All apps on one page: ``mmcontrast app``, ``make app``, or ``python apps/demo.py --port 7861``."""

import gradio as gr
from mmcontrast.apps import look_inside, match, track, zero_shot

TITLE = "mmcontrast"
APPS = (zero_shot, match, track, look_inside)


def build(name: str | None = None) -> None:
    """Puts every app into a tab of the page being built."""
    gr.Markdown("# mmcontrast\nRepresentations learned without labels, put to work. Everything stays on this machine.")
    with gr.Tabs():
        for app in APPS:
            with gr.Tab(app.TITLE):
                app.build(name)


if __name__ == "__main__":
    from mmcontrast.apps.cli import main

    raise SystemExit(main("demo"))
