"""The tab Track: paint objects or click points in the first frame of a video and track them."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from mmcontrast.errors import InputError
from mmcontrast.inference import bounded
from mmcontrast.predict.track import LabelPropagator, default_model
from mmcontrast.predict.track_writer import Kind, write_tracked
from mmcontrast.viz.matches import draw_points

from .first_frame import COLORS, first_frame, limit_stored_paintings, read_mask, required_points
from .media import VIDEOS
from .page import model, model_field, one_sentence
from .uploads import new_file, path_of, read_image, read_points, write_points

TITLE = "Track"
MIN_SIDE, MAX_SIDE = 96, 480  # pixels of the short side at which frames are compared
KINDS: dict[str, Kind] = {"painted objects": "masks", "clicked points": "points", "colors": "colors"}


def build(name: str | None = None) -> None:
    """Adds the tab to the page that is being built.

    The function is long because it lays out the tab from top to bottom.

    Args:
        name: Model to start with. None stands for the bundled one.
    """
    gr.Markdown(
        "Give a video, **paint over objects in its first frame**, each in its own color, or click points in it, and "
        "press Track."
    )
    with gr.Row():
        with gr.Column():
            video = gr.Video(label="Video of at most two minutes", sources=["upload"], height=300)
            gr.Examples(VIDEOS, video, label="Or try this one", api_visibility="private")
            kind = gr.Radio(list(KINDS), value=next(iter(KINDS)), label="Track")
            with gr.Column(visible=False) as first:
                painted = gr.ImageEditor(
                    label="First frame: paint over objects",
                    sources=(),
                    transforms=(),
                    layers=False,
                    height=400,
                    brush=gr.Brush(default_size=20, colors=[*COLORS], default_color=COLORS[0], color_mode="fixed"),
                )
                with gr.Column(visible=False) as clicking:
                    clicked = gr.Image(label="First frame: click points", interactive=False, format="jpeg", buttons=[])
                    text = gr.Textbox(label="Points, in pixels of the video", placeholder="120,80; 200,95")
                with gr.Column(visible=False) as coloring:
                    gr.Markdown(
                        "Every frame after the first is treated as gray. If the first frame is gray too, give it in "
                        "color here."
                    )
                    frame = gr.Image(
                        label="First frame in color", type="filepath", sources=["upload", "clipboard"], height=240
                    )
        with gr.Column():
            with gr.Row():
                run, cancel = gr.Button("Track", variant="primary"), gr.Button("Cancel")
            status = gr.HTML()
            result = gr.Video(label="Tracked video", autoplay=True, interactive=False)
            file = gr.File(label="Masks as a ZIP of PNG files, or points as CSV", interactive=False, height=120)
            with gr.Accordion("Model and resolution", open=False):
                side = gr.Slider(
                    MIN_SIDE,
                    MAX_SIDE,
                    240,
                    step=16,
                    label="Resolution: short side in pixels at which frames are compared",
                )
                info = "A bundled name, a folder or timm:NAME; lab compares raw colors."
                model_name = model_field(name or default_model(), info)

    limit_stored_paintings(painted)

    def track(
        video: Any, kind: str, painting: Any, points: str, colored: Any, name: str, resolution: float
    ) -> Iterator[Any]:
        """Tracks objects, points or colors through a video.

        Args:
            video: The video.
            kind: What to track, one of ``KINDS``.
            painting: Objects painted on the first frame.
            points: Points "x,y; x,y" in pixels of the video.
            colored: The first frame in color, or None for the first frame of the video.
            name: The model.
            resolution: Short side in pixels at which frames are compared.

        Yields:
            The tracked video, a file with masks or points, and the progress.
        """
        with one_sentence():
            path = path_of(video, "a video")
            annotation: Any = read_image(colored, longest=1 << 16) if colored else None
            if KINDS.get(kind) == "masks":
                annotation = read_mask(painted, painting, path)
            elif KINDS.get(kind) == "points":
                annotation = required_points(points)
            yield from _track(path, KINDS.get(kind, "colors"), annotation, name, resolution)

    job = run.click(
        track,
        [video, kind, painted, text, frame, model_name, side],
        [result, file, status],
        api_name="track",
        concurrency_id="track",
        preprocess=False,
        show_progress="minimal",
    )
    _connect(
        video, kind, painted, clicked, text, frame, [first, clicking, coloring], [result, file, status], cancel, job
    )


def _connect(
    video: gr.Video,
    kind: gr.Radio,
    painted: gr.ImageEditor,
    clicked: gr.Image,
    text: gr.Textbox,
    frame: gr.Image,
    columns: list[gr.Column],
    outputs: list[Any],
    cancel: gr.Button,
    job: Any,
) -> None:
    """Connects the events of the tab, except the Track button."""
    first, clicking, coloring = columns
    _, file, status = outputs
    quick: dict[str, Any] = {"preprocess": False, "api_visibility": "private", "concurrency_id": "first frame"}
    clicked.select(_click, [video, text], [clicked, text], **quick)
    text.submit(_show_points, [video, text], clicked, **quick)
    at_once: dict[str, Any] = {"api_visibility": "private", "queue": False}
    gr.on([video.change, kind.change], lambda: [None] * 3, None, outputs, cancels=[job], **at_once)
    annotations = [painted, clicked, text, frame]
    emptied = video.change(
        lambda video: [gr.update(visible=bool(video)), *[None] * len(annotations)],
        video,
        [first, *annotations],
        preprocess=False,
        **at_once,
    )
    emptied.then(_show_first, video, [painted, clicked], **quick)
    kind.change(_show_kind, kind, [painted, clicking, coloring, file], **quick)
    stopped = cancel.click(lambda: None, None, None, cancels=[job], **at_once)
    # Runs after the progress of the last frame, which may still be on its way.
    stopped.then(lambda: "Canceled.", None, status, **at_once)


def _track(path: str, kind: Kind, annotation: Any, name: str, resolution: float) -> Iterator[tuple[Any, Any, str]]:
    """Yields the video, the file and the progress as HTML; the first two come with the last value."""
    if not isinstance(resolution, int | float) or not MIN_SIDE <= resolution <= MAX_SIDE:
        raise InputError(f"A resolution of {resolution} pixels is not possible; give {MIN_SIDE} to {MAX_SIDE}.")
    tracker = LabelPropagator(model(name, "Give one, such as track-lite, or lab."), resolution=int(resolution))
    video, target = bounded.open_recording(path), new_file("tracked.mp4")
    start, total, reported, spent = time.monotonic(), len(video), 0.0, 0.0
    for done, _ in enumerate(write_tracked(kind, tracker, video, annotation, target.parent, target), 1):
        spent = time.monotonic() - start
        if spent - reported > 0.2:
            reported, left = spent, spent / done * (total - done)
            bar = f"<progress value={done} max={total} style='width: 100%'></progress>"
            yield gr.skip(), gr.skip(), f"{bar}<br>Frame {done} of {total}, about {left:.0f} s left"
    files: dict[Kind, Any] = {"masks": target.parent / "masks.zip", "points": target.parent / "points.csv"}
    if kind == "masks":
        shutil.make_archive(str(files[kind].with_suffix("")), "zip", target.parent / "masks")
        shutil.rmtree(target.parent / "masks")
    problem = " The video is damaged, and some frames are missing." if video.problem else ""
    yield str(target), files.get(kind) and str(files[kind]), f"{total} frames in {spent:.0f} s.{problem}"


@one_sentence()
def _show_first(video: Any) -> tuple[Any, Any]:
    """Returns the first frame for the paint editor and for the clickable image."""
    if not video:
        return None, None
    image = first_frame(path_of(video)).pixels
    return {"background": image, "layers": [], "composite": image}, image


def _click(video: Any, text: str, event: gr.SelectData) -> tuple[Any, str]:
    with one_sentence():
        x, y = first_frame(path_of(video, "a video")).to_original(*event.index)
        text = write_points([*read_points(text), (round(x, 1), round(y, 1))])
    return _show_points(video, text), text


@one_sentence()
def _show_points(video: Any, text: str) -> Any:
    first = first_frame(path_of(video, "a video"))
    return draw_points(first.pixels, [first.to_reduced(x, y) for x, y in read_points(text)])


def _show_kind(kind: str) -> list[Any]:
    """Returns the visibility of the three inputs and of the file; colors give a video only."""
    return [*(gr.update(visible=kind == each) for each in KINDS), gr.update(visible=KINDS[kind] != "colors")]
