"""The tab Match: click a point of one image and see it in another."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import numpy.typing as npt

from mmcontrast.errors import InputError
from mmcontrast.predict.match import DescriptorMatcher
from mmcontrast.viz.matches import draw_heat, draw_pairs, draw_points
from mmcontrast.viz.patch_pca import PatchPCA

from .media import PAIRS
from .page import default, model, model_field, one_sentence
from .scaled_image import ScaledImage
from .uploads import read_points, read_scaled, write_points

Image = npt.NDArray[np.uint8]

TITLE = "Match"
LONGEST_SIDE = 640  # pixels at which images are matched; a click is answered within a third of a second on two cores
GRID_STEP, PAIR_LIMIT = 8, 150  # mutual matches are searched on every eighth pixel, and the best 150 are drawn
HEADERS = ["point", "left x", "left y", "right x", "right y", "distance", "confidence"]
# Of don-lite's matches between unseen kitchen frames, 37 % were wrong below this confidence and 15 % above 0.1.
LOW_CONFIDENCE = 0.05


class PointMatch(NamedTuple):
    """One matched point.

    Attributes:
        xy: The point in pixels of the reduced right image.
        distance: The distance between the two descriptors.
        confidence: The confidence in [0, 1].
        heat: How similar every pixel of the reduced right image is, (H, W) uint8.
    """

    xy: tuple[float, float]
    distance: float
    confidence: float
    heat: Image


def build(name: str | None = None) -> None:
    """Adds the tab to the page that is being built.

    Args:
        name: Model to start with. None stands for the bundled one.
    """
    gr.Markdown(
        "Give two images that show similar things and **click a point in the left one**. A ring in the right image "
        "marks the best match, and warm colors mark everything that looks like the point."
    )
    originals = gr.State([None, None])  # the uploads; the components display them with marks drawn on them
    with gr.Row():
        left, right = (
            gr.Image(label=label, sources=["upload", "clipboard"], type="filepath", format="jpeg", height=360)
            for label in ("Left image: click here", "Right image: matches appear here")
        )
    note = gr.Markdown()
    text = gr.Textbox(
        label="Points of the left image, in pixels of your image; click or type them", placeholder="120,80; 200,95"
    )
    with gr.Row():
        match_button = gr.Button("Match these points")
        clear_button = gr.Button("Clear the points")
        mutual_button = gr.Button("Mutual matches")
        colors_button = gr.Button("Descriptors as colors")
    examples = gr.Examples(PAIRS, [left, right], label="Or try this pair", api_visibility="private")
    with gr.Accordion("Numbers and model", open=False):
        table = gr.Dataframe(headers=HEADERS, interactive=False)
        model_name = model_field(
            name or default("don-lite", "clip-lite"), "A bundled name, a folder or timm:NAME; lab compares raw colors."
        )

    busy: dict[str, Any] = {"concurrency_id": "match", "concurrency_limit": 1, "preprocess": False}
    private: dict[str, Any] = {**busy, "api_visibility": "private", "show_progress": "minimal"}
    results, pair = [left, right, text, table, note], [left, right, originals]
    for index, side in enumerate((left, right)):
        gr.on([side.upload, side.clear], partial(_new_pair, changed=index), pair, [*results, originals], **private)
    cleared: list[Any] = [originals, text, table, note]
    examples.dataset.click(lambda: ([None, None], "", None, ""), None, cleared, api_visibility="private")
    left.select(_click, [*pair, text, model_name], [*results, originals], **private)
    clear_button.click(_new_pair, pair, [*results, originals], **private)
    inputs = [left, right, text, model_name, originals]
    gr.on([match_button.click, text.submit], match, inputs, results, api_name="match", **busy)
    inputs = [left, right, model_name, originals]
    mutual_button.click(mutual_matches, inputs, [left, right], api_name="mutual_matches", **busy)
    colors_button.click(descriptor_colors, inputs, [left, right], api_name="descriptor_colors", **busy)


@one_sentence()
def match(left: Any, right: Any, text: str, name: str, originals: Any = None) -> tuple[Any, ...]:
    """Finds points of the left image in the right image.

    Args:
        left: The left image.
        right: The right image.
        text: Points "x,y; x,y" in pixels of the left image.
        name: The model.
        originals: Both images without marks, if the page displays marked ones.

    Returns:
        Both images with marks, the points, a table in pixels of the given images, and a note about doubtful matches.
    """
    pair = _originals(left, right, originals)
    reference, target = _read(pair)
    points = read_points(text)
    if not points:
        raise InputError("Click a point in the left image first.")
    for x, y in points:
        if not reference.contains(x, y):
            size = f"{reference.width} x {reference.height} pixels"
            raise InputError(f"The point ({x:g}, {y:g}) lies outside the left image, which has {size}.")
    reduced = [reference.to_reduced(x, y) for x, y in points]
    matches = [_match_point(str(name), pair[0]["path"], pair[1]["path"], point) for point in reduced]
    rows = [
        [number, *_rounded(point), *_rounded(target.to_original(*m.xy)), round(m.distance, 3), round(m.confidence, 2)]
        for number, (point, m) in enumerate(zip(points, matches, strict=True), 1)
    ]
    heat = np.maximum.reduce([m.heat for m in matches]) / 255
    right_drawn = draw_points(draw_heat(target.pixels, heat), [m.xy for m in matches])
    note = _doubtful([m.confidence for m in matches])
    return draw_points(reference.pixels, reduced), right_drawn, write_points(points), rows, note


def _rounded(point: tuple[float, float]) -> tuple[float, float]:
    return round(point[0], 1), round(point[1], 1)


def _doubtful(confidence: Sequence[float]) -> str:
    """Returns a sentence about the points with low confidence, or an empty text."""
    low = [str(number) for number, value in enumerate(confidence, 1) if value < LOW_CONFIDENCE]
    which = f" at {', '.join(low)}" if len(confidence) > 1 else ""
    return f"Low confidence{which}: perhaps not visible in the right image." if low else ""


@one_sentence()
def mutual_matches(left: Any, right: Any, name: str, originals: Any = None) -> tuple[Image, Image]:
    """Draws dots of equal color where pixels of the two images are each other's nearest neighbor.

    Args:
        left: The left image.
        right: The right image.
        name: The model.
        originals: Both images without marks, if the page displays marked ones.
    """
    pair = _originals(left, right, originals)
    reference, target = _read(pair)
    matcher = _matcher(str(name), pair[0]["path"])
    pairs = matcher.mutual(target.pixels, GRID_STEP)
    left_xy, right_xy = pairs.reference_xy[:PAIR_LIMIT].numpy(), pairs.xy[:PAIR_LIMIT].numpy()
    return draw_pairs(reference.pixels, target.pixels, left_xy, right_xy)


@one_sentence()
def descriptor_colors(left: Any, right: Any, name: str, originals: Any = None) -> tuple[Image, Image]:
    """Draws three principal components of the descriptors as colors; similar descriptors get similar colors.

    Args:
        left: The left image.
        right: The right image.
        name: The model.
        originals: Both images without marks, if the page displays marked ones.
    """
    pair = _originals(left, right, originals)
    matcher = _matcher(str(name), pair[0]["path"])
    maps = [matcher.describe(side.pixels).permute(1, 2, 0).cpu() for side in _read(pair)]  # (H, W, D)
    colors = PatchPCA([descriptors[::4, ::4] for descriptors in maps], region="all")
    a, b = ((255 * colors(descriptors)).round().byte().numpy() for descriptors in maps)
    return a, b


def _click(left: Any, right: Any, originals: Any, text: str, name: str, event: gr.SelectData) -> tuple[Any, ...]:
    """Adds the clicked point to the points of the left image."""
    pair = _originals(left, right, originals)
    with one_sentence():
        reference = read_scaled(pair[0], longest=LONGEST_SIDE)
        # The page displays either the upload itself or the reduced image with marks.
        displayed = read_scaled(left, longest=1 << 16).pixels
        marked = ScaledImage(displayed, reference.height, reference.width)
        points = [*read_points(text), _rounded(marked.to_original(*event.index))]
    return *match(left, right, write_points(points), name, pair), pair


def _new_pair(left: Any, right: Any, originals: Any, changed: int = -1) -> tuple[Any, ...]:
    """Returns both images without marks, after the image with the index ``changed`` was replaced."""
    pair = _originals(left, right, originals)
    if changed >= 0:
        pair[changed] = (left, right)[changed]
    return *(side and side["path"] for side in pair), "", None, "", pair


def _originals(left: Any, right: Any, originals: Any) -> list[Any]:
    return [known or displayed for known, displayed in zip(originals or [None, None], (left, right), strict=True)]


def _read(pair: list[Any]) -> tuple[ScaledImage, ScaledImage]:
    left, right = pair
    return read_scaled(left, "the left image", LONGEST_SIDE), read_scaled(right, "the right image", LONGEST_SIDE)


@lru_cache(64)  # a further click computes its own point only
def _match_point(name: str, left: str, right: str, point: tuple[float, float]) -> PointMatch:
    matcher, target = _matcher(name, left), read_scaled(right, longest=LONGEST_SIDE).pixels
    best = matcher.find(target, [point])
    heat = (255 * matcher.heatmap(target, point)).byte().numpy()
    return PointMatch(tuple(best.xy[0].tolist()), best.distance.item(), best.confidence.item(), heat)


@lru_cache(2)  # each matcher holds the descriptors of its left image and of the last right image
def _matcher(name: str, path: str) -> DescriptorMatcher:
    matcher = DescriptorMatcher(model(name, "Give one, such as don-lite."))
    matcher.set_reference(read_scaled(path, longest=LONGEST_SIDE).pixels)
    return matcher
