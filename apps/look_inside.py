"""See what a model sees in an image.  Alone: ``python apps/look_inside.py --port 7861``."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from mmcontrast.errors import InputError
from mmcontrast.predict import look_inside as inside

from .media import PHOTOGRAPHS
from .page import default, model, model_field, one_sentence
from .uploads import read_image

TITLE = "Look inside"
SIDE = 448  # pixels, of what is shown


class View(NamedTuple):
    """One way of looking: what it is, what it needs, and bundled models that have it."""

    caption: str
    wanted: str
    show: Callable[[Any, np.ndarray, float, int], inside.Shown]
    models: tuple[str, ...] = ()


VIEWS = {
    "patch colors": View(
        "Patches that the model finds alike get like colors.",
        "Give any model with a grid, such as clip-lite.",
        lambda m, p, share, key: inside.patch_colors(m, p),
        ("dino-lite", "clip-lite"),
    ),
    "attention": View(
        "Where each head of the last block looks.",
        "Give a vision transformer: dino-lite where it is bundled, a run of DINO, DINOv2 or MAE, or timm:vit_...",
        lambda m, p, share, key: inside.attention(m, p),
        ("dino-lite",),
    ),
    "activations": View(
        "Where each block of the network is active, from the first to the last.",
        "Give any model, such as clip-lite.",
        lambda m, p, share, key: inside.activations(m, p),
        ("clip-lite", "dino-lite"),
    ),
    "hidden patches": View(
        "Most of the image is hidden, and the model paints what it expects there.",
        "Name a run of MAE, such as `runs/smoke-mae`, which `mmcontrast fit -c configs/smoke/mae.yaml` trains.",
        inside.hidden_patches,
        ("mae-lite",),
    ),
    "colors": View(
        "The image is made gray, and the model colors it.",
        "Give a model trained by Colorization or SplitBrain: a bundled one, or a run directory.",
        lambda m, p, share, key: inside.colors(m, p),
        ("colorization-lite",),
    ),
    "puzzle": View(
        "What the model was trained to do: put a jigsaw together, turn an image upright, fill a hole.",
        "Name a run of Jigsaw or the like, such as `runs/smoke-jigsaw`, which "
        "`mmcontrast fit -c configs/smoke/jigsaw.yaml` trains.",
        lambda m, p, share, key: inside.puzzle(m, p, key),
        ("jigsaw-lite",),
    ),
}


def build(name: str | None = None) -> None:
    """Puts the app into the page being built."""
    first = next(iter(VIEWS))
    gr.Markdown("Give an image, choose what to look at, and press Look.")
    with gr.Row():
        with gr.Column():
            image = gr.Image(label="Image", sources=["upload", "webcam", "clipboard"], type="filepath", height=320)
            gr.Examples(PHOTOGRAPHS, image, label="Or try one of these", api_visibility="private")
        with gr.Column():
            view = gr.Radio(list(VIEWS), value=first, label="Look at")
            about = gr.Markdown(_about(first))
            named = model_field(name or default(*VIEWS[first].models))
            share = gr.Slider(0.05, 0.95, 0.75, step=0.05, label="Share that is hidden", visible=False)
            key = gr.Slider(0, 99, 0, step=1, label="Draw again", visible=False)
            button = gr.Button("Look", variant="primary")
    shown = gr.Gallery(label="What it sees", columns=4, object_fit="contain", height="auto", interactive=False)

    busy: dict[str, Any] = {"preprocess": False, "concurrency_id": "look", "concurrency_limit": 1}
    given = [image, view, named, share, key]
    view.change(lambda v: _switched(v, name), view, [about, named], api_visibility="private")
    old: dict[str, Any] = {"outputs": [shown, share, key], "api_visibility": "private", "queue": False}
    gr.on([image.change, view.change, named.change], lambda: (None, *_sliders("", "")), **old)
    looked = button.click(look, given, shown, api_name="look", **busy)
    looked.success(_sliders, [view, named], [share, key], api_visibility="private")
    for slider in (share, key):
        slider.release(look, given, shown, api_visibility="private", **busy)


@one_sentence()
def look(upload: Any, view: str, name: str | None, share: float = 0.75, key: float = 0) -> inside.Shown:
    """What a model sees in an image, as captioned images."""
    image = read_image(upload)
    if view not in VIEWS:
        raise InputError(f"There is no view {view!r}; choose from {', '.join(VIEWS)}.")
    found = VIEWS[view].show(model(name, VIEWS[view].wanted), image, float(share), int(key))
    return [(_enlarged(part), caption) for part, caption in found]


def _switched(view: str, name: str | None) -> tuple[str, str | None]:
    """What stands beside another view: what it is, and a model for it."""
    return _about(view), name or default(*VIEWS[view].models) or None


def _sliders(view: str, name: str) -> list[Any]:
    """The sliders for the share and for drawing again, visible where they change what is shown."""
    hides = view == "hidden patches"
    draws = hides or (view == "puzzle" and not hasattr(model(name, ""), "colors"))
    return [gr.update(visible=acts) for acts in (hides, draws)]


def _about(view: str) -> str:
    chosen = VIEWS[view]
    return chosen.caption if default(*chosen.models) else f"{chosen.caption} {chosen.wanted}"


def _enlarged(part: np.ndarray) -> np.ndarray:
    """Cells of a coarse map as blocks that can be seen; a larger image as it is."""
    factor = SIDE // max(part.shape[:2])
    if factor < 2:
        return part
    size = (part.shape[1] * factor, part.shape[0] * factor)
    return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.NEAREST))
