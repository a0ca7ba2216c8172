"""Click a point of one image, find it in another.  Alone: ``python apps/match.py --port 7861``."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import gradio as gr
import numpy as np

from mmcontrast.errors import InputError
from mmcontrast.predict.match import DescriptorMatcher
from mmcontrast.viz.matches import draw_heat, draw_pairs, draw_points
from mmcontrast.viz.patch_pca import PatchPCA

from .media import PAIRS
from .page import default, model, model_field, one_sentence
from .uploads import points, read_image, written

TITLE = "Match"
LONGEST = 640  # pixels; a click is answered within a third of a second on two cores
STEP, SHOWN = 8, 150  # of mutual matches: every so many pixels, so many of the best
ROWS = ["point", "at x", "at y", "x", "y", "distance", "confidence"]
# A confidence: of don-lite's matches between unseen kitchen frames 37 % were wrong below it, 15 % above 0.1.
DOUBTFUL = 0.05


def build(name: str | None = None) -> None:
    """Puts the app into the page being built."""
    gr.Markdown(
        "Give two images of alike things and **click a point in the left one**: a ring in the right one shows where "
        "it is, warm colors what looks like it."
    )
    given = gr.State([None, None])  # the uploads; the components show what is drawn on them
    with gr.Row():
        left, right = (
            gr.Image(label=label, sources=["upload", "clipboard"], type="filepath", format="jpeg", height=360)
            for label in ("Click here", "Found here")
        )
    note = gr.Markdown()
    text = gr.Textbox(label="Points of the left image, in pixels; click, or write them", placeholder="120,80; 200,95")
    with gr.Row():
        typed = gr.Button("Match these points")
        clear = gr.Button("Forget the points")
        mutual = gr.Button("Mutual matches")
        colors = gr.Button("Descriptors as colors")
    examples = gr.Examples(PAIRS, [left, right], label="Or try this pair", api_visibility="private")
    with gr.Accordion("Figures and model", open=False):
        table = gr.Dataframe(headers=ROWS, interactive=False)
        named = model_field(
            name or default("don-lite", "clip-lite"), "a bundled name, a folder, timm:...; lab: raw colors"
        )

    busy: dict[str, Any] = {"concurrency_id": "match", "concurrency_limit": 1, "preprocess": False}
    private: dict[str, Any] = {**busy, "api_visibility": "private", "show_progress": "minimal"}
    shown, pair = [left, right, text, table, note], [left, right, given]
    for place, side in enumerate((left, right)):
        gr.on([side.upload, side.clear], partial(_given, changed=place), pair, [*shown, given], **private)
    fresh: list[Any] = [given, text, table, note]
    examples.dataset.click(lambda: ([None, None], "", None, ""), None, fresh, api_visibility="private")
    left.select(_click, [*pair, text, named], [*shown, given], **private)
    clear.click(_given, pair, [*shown, given], **private)
    gr.on([typed.click, text.submit], match, [left, right, text, named, given], shown, api_name="match", **busy)
    mutual.click(mutual_matches, [left, right, named, given], [left, right], api_name="mutual_matches", **busy)
    colors.click(descriptor_colors, [left, right, named, given], [left, right], api_name="descriptor_colors", **busy)


@one_sentence()
def match(left: Any, right: Any, text: str, name: str, given: Any = None) -> tuple[Any, ...]:
    """Where points of the left image are in the right one: both images with marks, points, a table, and doubts."""
    reference, image, _ = _pair(left, right, name, given)
    if not (places := points(text)):
        raise InputError("Click a point in the left image first.")
    pair = [side["path"] for side in _originals(left, right, given)]
    found, distance, confidence, heat = zip(*(_found(str(name), *pair, place) for place in places), strict=True)
    rows = [
        [number, *(round(v, 1) for v in (*at, *xy)), round(apart, 3), round(sure, 2)]
        for number, (at, xy, apart, sure) in enumerate(zip(places, found, distance, confidence, strict=True), 1)
    ]
    right_drawn = draw_points(draw_heat(image, np.maximum.reduce(heat) / 255), found)
    return draw_points(reference, places), right_drawn, written(places), rows, _doubts(confidence)


def _doubts(confidence: Sequence[float]) -> str:
    """A sentence about points that look like several places; "" where all stand out."""
    low = [str(number) for number, value in enumerate(confidence, 1) if value < DOUBTFUL]
    where = f" at {', '.join(low)}" if len(confidence) > 1 else ""
    return f"Low confidence{where}: perhaps not visible in the right image." if low else ""


@one_sentence()
def mutual_matches(left: Any, right: Any, name: str, given: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Both images, with dots of one color where each is the other's nearest."""
    reference, image, matcher = _pair(left, right, name, given)
    at, found, _ = matcher.mutual(image, STEP)
    return draw_pairs(reference, image, at[:SHOWN].cpu().numpy(), found[:SHOWN].cpu().numpy())


@one_sentence()
def descriptor_colors(left: Any, right: Any, name: str, given: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Both images in the colors of three principal components of their descriptors: alike is alike in color."""
    reference, image, matcher = _pair(left, right, name, given)
    maps = [matcher.describe(photo).permute(1, 2, 0).cpu() for photo in (reference, image)]  # (H, W, D)
    colors = PatchPCA([part[::4, ::4] for part in maps], region="all")
    a, b = ((255 * colors(part)).round().byte().numpy() for part in maps)
    return a, b


def _click(left: Any, right: Any, given: Any, text: str, name: str, event: gr.SelectData) -> tuple[Any, ...]:
    """Adds the clicked point, in pixels of what is shown, to those of the left image."""
    originals = _originals(left, right, given)
    with one_sentence():
        seen = read_image(originals[0], longest=LONGEST)
        shown = (
            seen if left["path"] != originals[0]["path"] else read_image(left, longest=1 << 16)
        )  # drawn on, or not yet
        x, y = (
            (place + 0.5) * seen.shape[axis] / shown.shape[axis] - 0.5
            for place, axis in zip(event.index, (1, 0), strict=True)
        )
        text = written([*points(text), (round(x, 1), round(y, 1))])
    return *match(left, right, text, name, originals), originals


def _given(left: Any, right: Any, given: Any, changed: int = -1) -> tuple[Any, ...]:
    """Both images without marks, after one of them may have been changed."""
    originals = _originals(left, right, given)
    if changed >= 0:
        originals[changed] = (left, right)[changed]
    return *(path and path["path"] for path in originals), "", None, "", originals


def _originals(left: Any, right: Any, given: Any) -> list[Any]:
    return [known or shown for known, shown in zip(given or [None, None], (left, right), strict=True)]


def _pair(left: Any, right: Any, name: str, given: Any) -> tuple[np.ndarray, np.ndarray, DescriptorMatcher]:
    left, right = _originals(left, right, given)
    reference, image = read_image(left, "the left image", LONGEST), read_image(right, "the right image", LONGEST)
    return reference, image, _matcher(str(name), left["path"])


@lru_cache(64)  # a further click looks for its own point only
def _found(
    name: str, left: str, right: str, place: tuple[float, float]
) -> tuple[tuple[float, float], float, float, np.ndarray]:
    """One point: its place in the right image, distance, confidence, and how alike every pixel is, (H, W) uint8."""
    matcher, image = _matcher(name, left), read_image(right, longest=LONGEST)
    ((x, y),), (distance,), (confidence,) = (part.tolist() for part in matcher.find(image, [place]))
    return (x, y), distance, confidence, (255 * matcher.heatmap(image, place)).byte().cpu().numpy()


@lru_cache(2)  # the descriptors of two images stay in memory, the left one's and those of the last right one
def _matcher(name: str, path: str) -> DescriptorMatcher:
    matcher = DescriptorMatcher(model(name, "Give one, such as clip-lite."))
    matcher.set_reference(read_image(path, longest=LONGEST))
    return matcher
