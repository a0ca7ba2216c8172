"""The tab Look inside: what a model computes from an image."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import numpy.typing as npt
from PIL import Image

from mmcontrast.errors import InputError
from mmcontrast.predict import look_inside as inside

from .media import PHOTOGRAPHS
from .page import default, model, model_field, one_sentence
from .uploads import read_image

TITLE = "Look inside"
SIDE = 448  # pixels of the long side of a result

Panels = list[tuple[npt.NDArray[np.uint8], str]]


class View(NamedTuple):
    """One way to look into a model.

    Attributes:
        caption: What the view shows.
        wanted: The models that can show it.
        show: Function of the model, the image, the fraction of hidden patches and the seed.
        models: Bundled models that can show it, the best first.
    """

    caption: str
    wanted: str
    show: Callable[[Any, npt.NDArray[np.uint8], float, int], Panels]
    models: tuple[str, ...] = ()


VIEWS = {
    "patch colors": View(
        "Patches with similar features have similar colors.",
        "Give any model with a feature grid, such as `clip-lite`.",
        lambda model, image, fraction, seed: inside.patch_colors(model, image),
        ("clip-lite", "dino-lite"),
    ),
    "activations": View(
        "Bright cells show where each block of the network is active, from the first block to the last.",
        "Give any model, such as `clip-lite`.",
        lambda model, image, fraction, seed: inside.activations(model, image),
        ("clip-lite", "dino-lite"),
    ),
    "attention": View(
        "Bright patches show where each head of the last block attends.",
        "No bundled model has attention. Give a vision transformer: a run of DINO, DINOv2 or MAE, or `timm:vit_...`.",
        lambda model, image, fraction, seed: inside.attention(model, image),
    ),
    "hidden patches": View(
        "Most patches of the image are hidden, and the model reconstructs them.",
        "No bundled model reconstructs patches. Give a run of MAE, such as `runs/smoke-mae`, which "
        "`mmcontrast fit smoke/mae --out runs/smoke-mae` trains.",
        inside.hidden_patches,
    ),
    "colors": View(
        "The image is converted to gray, and the model colors it.",
        "Give a model trained by Colorization or SplitBrain, such as `colorization-lite`.",
        lambda model, image, fraction, seed: inside.colors(model, image),
        ("colorization-lite",),
    ),
    "puzzle": View(
        "The model solves the task that it was trained for, such as a jigsaw or a hole.",
        "No bundled model solves puzzles. Give a run of Jigsaw or a similar method, such as `runs/smoke-jigsaw`, which "
        "`mmcontrast fit smoke/jigsaw --out runs/smoke-jigsaw` trains.",
        lambda model, image, fraction, seed: inside.puzzle(model, image, seed),
    ),
}


def build(name: str | None = None) -> None:
    """Adds the tab to the page that is being built.

    Args:
        name: Model to start with. None stands for the best bundled one of each view.
    """
    first = next(iter(VIEWS))
    gr.Markdown("Give an image, choose a view, and press Show.")
    with gr.Row():
        with gr.Column():
            image = gr.Image(label="Image", sources=["upload", "webcam", "clipboard"], type="filepath", height=320)
            gr.Examples(PHOTOGRAPHS, image, label="Or try one of these", api_visibility="private")
        with gr.Column():
            view = gr.Radio(list(VIEWS), value=first, label="View")
            about = gr.Markdown(_about(first))
            model_name = model_field(name or default(*VIEWS[first].models))
            fraction = gr.Slider(0.05, 0.95, 0.75, step=0.05, label="Fraction of hidden patches", visible=False)
            seed = gr.Slider(0, 99, 0, step=1, label="Seed of the random draw", visible=False)
            button = gr.Button("Show", variant="primary")
    panels = gr.Gallery(label="Result", columns=4, object_fit="contain", height="auto", interactive=False)

    busy: dict[str, Any] = {"preprocess": False, "concurrency_id": "look", "concurrency_limit": 1}
    inputs = [image, view, model_name, fraction, seed]
    view.change(lambda chosen: _switched(chosen, name), view, [about, model_name], api_visibility="private")
    cleared: dict[str, Any] = {"outputs": [panels, fraction, seed], "api_visibility": "private", "queue": False}
    gr.on([image.change, view.change, model_name.change], lambda: (None, *_sliders("", "")), **cleared)
    looked = button.click(look, inputs, panels, api_name="look", **busy)
    looked.success(_sliders, [view, model_name], [fraction, seed], api_visibility="private")
    for slider in (fraction, seed):
        slider.release(look, inputs, panels, api_visibility="private", **busy)


@one_sentence()
def look(upload: Any, view: str, name: str | None, fraction: float = 0.75, seed: float = 0) -> Panels:
    """Shows what a model computes from an image.

    Args:
        upload: The image.
        view: What to show, one of ``VIEWS``.
        name: The model.
        fraction: Fraction of hidden patches, between 0 and 1, for the view "hidden patches".
        seed: Seed of what the view draws at random.

    Returns:
        Images with captions.
    """
    image = read_image(upload)
    if view not in VIEWS:
        raise InputError(f"There is no view {view!r}; choose from {', '.join(VIEWS)}.")
    panels = VIEWS[view].show(model(name, VIEWS[view].wanted), image, float(fraction), int(seed))
    return [(_enlarged(panel), caption) for panel, caption in panels]


def _switched(view: str, name: str | None) -> tuple[str, str | None]:
    """Returns the description of a view and a model for it."""
    return _about(view), name or default(*VIEWS[view].models) or None


def _sliders(view: str, name: str) -> list[Any]:
    """Returns the visibility of the two sliders; each is visible if it changes the result."""
    hides = view == "hidden patches"
    draws = hides or (view == "puzzle" and not hasattr(model(name, ""), "colors"))
    return [gr.update(visible=visible) for visible in (hides, draws)]


def _about(view: str) -> str:
    chosen = VIEWS[view]
    return chosen.caption if default(*chosen.models) else f"{chosen.caption} {chosen.wanted}"


def _enlarged(panel: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Enlarges the cells of a coarse map to visible blocks; returns a large image as it is."""
    factor = SIDE // max(panel.shape[:2])
    if factor < 2:
        return panel
    size = (panel.shape[1] * factor, panel.shape[0] * factor)
    return np.asarray(Image.fromarray(panel).resize(size, Image.Resampling.NEAREST))
