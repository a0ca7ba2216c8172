"""Follow painted objects, points or colors through a video.  Alone: ``python apps/track.py --port 7861``."""

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

from .first_frame import COLORS, first_frame, mask_of, places_in, remember_few
from .media import VIDEOS
from .page import model, model_field, one_sentence
from .uploads import new_file, path_of, points, read_image, written

TITLE = "Track"
LEAST, MOST = 96, 480  # pixels, of the short side at which frames are compared
KINDS: dict[str, Kind] = {"objects that I paint": "masks", "points that I click": "points", "colors": "colors"}


def build(name: str | None = None) -> None:
    """Puts the app into the page being built."""
    gr.Markdown(
        "Give a video, **paint over objects in its first frame**, each in a color of its own, or click points in it, "
        "and press Track."
    )
    with gr.Row():
        with gr.Column():
            video = gr.Video(label="Video, at most two minutes", sources=["upload"], height=300)
            gr.Examples(VIDEOS, video, label="Or try this one", api_visibility="private")
            follow = gr.Radio(list(KINDS), value=next(iter(KINDS)), label="Follow")
            with gr.Column(visible=False) as first:
                painted = gr.ImageEditor(
                    label="Paint",
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
                    gr.Markdown("All frames but the first are taken as gray. Is it gray too? Give it in color.")
                    frame = gr.Image(
                        label="First frame in color", type="filepath", sources=["upload", "clipboard"], height=240
                    )
        with gr.Column():
            with gr.Row():
                run, cancel = gr.Button("Track", variant="primary"), gr.Button("Cancel")
            status = gr.HTML()
            result = gr.Video(label="Tracked", autoplay=True, interactive=False)
            file = gr.File(label="Masks as a ZIP of PNGs, or points as CSV", interactive=False, height=120)
            with gr.Accordion("Model and detail", open=False):
                detail = gr.Slider(
                    LEAST, MOST, 240, step=16, label="Short side at which frames are compared, in pixels"
                )
                named = model_field(name or default_model(), "a bundled name, a folder, timm:...; lab: raw colors")

    remember_few(painted)
    quick: dict[str, Any] = {"preprocess": False, "api_visibility": "private", "concurrency_id": "first frame"}
    clicked.select(_click, [video, text], [clicked, text], **quick)
    text.submit(_show_points, [video, text], clicked, **quick)

    def track(
        video: Any, kind: str, painting: Any, places: str, colored: Any, name: str, detail: float
    ) -> Iterator[Any]:
        """Follows what is painted, clicked or colored; gives the video with it, a file of it, and how far it is."""
        with one_sentence():
            place = path_of(video, "a video")
            first: Any = read_image(colored, longest=1 << 16) if colored else None
            if KINDS.get(kind) == "masks":
                first = mask_of(painted, painting, place)
            elif KINDS.get(kind) == "points":
                first = places_in(places)
            yield from _track(place, KINDS.get(kind, "colors"), first, name, detail)

    job = run.click(
        track,
        [video, follow, painted, text, frame, named, detail],
        [result, file, status],
        api_name="track",
        concurrency_id="track",
        preprocess=False,
        show_progress="minimal",
    )
    at_once: dict[str, Any] = {"api_visibility": "private", "queue": False}
    gr.on([video.change, follow.change], lambda: [None] * 3, None, [result, file, status], cancels=[job], **at_once)
    drawn = [painted, clicked, text, frame]
    emptied = video.change(
        lambda video: [gr.update(visible=bool(video)), *[None] * len(drawn)],
        video,
        [first, *drawn],
        preprocess=False,
        **at_once,
    )
    emptied.then(_show_first, video, [painted, clicked], **quick)
    follow.change(_show_kind, follow, [painted, clicking, coloring, file], **quick)
    stopped = cancel.click(lambda: None, None, None, cancels=[job], **at_once)
    stopped.then(lambda: "Canceled.", None, status, **at_once)  # after the last frame's progress, which is on its way


def _track(place: str, kind: Kind, first: Any, name: str, detail: float) -> Iterator[tuple[Any, Any, str]]:
    """Yields (video, file, progress as HTML), the first two when they are made."""
    if not isinstance(detail, int | float) or not LEAST <= detail <= MOST:
        raise InputError(f"A short side of {detail} pixels cannot be compared; give {LEAST} to {MOST}.")
    track = LabelPropagator(model(name, "Give one, such as clip-lite, or lab."), resolution=int(detail))
    video, target = bounded.open_recording(place), new_file("tracked.mp4")
    start, total, said = time.monotonic(), len(video), 0.0
    for done, _ in enumerate(write_tracked(kind, track, video, first, target.parent, target), 1):
        spent = time.monotonic() - start
        if spent - said > 0.2:
            said, left = spent, spent / done * (total - done)
            bar = f"<progress value={done} max={total} style='width: 100%'></progress>"
            yield gr.skip(), gr.skip(), f"{bar}<br>Frame {done} of {total}, about {left:.0f} s left"
    made: dict[Kind, Any] = {"masks": target.parent / "masks.zip", "points": target.parent / "points.csv"}
    if kind == "masks":
        shutil.make_archive(str(made[kind].with_suffix("")), "zip", target.parent / "masks")
        shutil.rmtree(target.parent / "masks")
    problem = " The video is damaged, and lost frames." if video.problem else ""
    yield str(target), made.get(kind) and str(made[kind]), f"{total} frames in {spent:.0f} s.{problem}"


@one_sentence()
def _show_first(video: Any) -> tuple[Any, Any]:
    """The first frame to paint on and to click into."""
    if not video:
        return None, None
    image = first_frame(path_of(video)).image
    return {"background": image, "layers": [], "composite": image}, image


def _click(video: Any, text: str, event: gr.SelectData) -> tuple[Any, str]:
    with one_sentence():
        x, y = first_frame(path_of(video, "a video")).to_video(*event.index)
        text = written([*points(text), (round(x, 1), round(y, 1))])
    return _show_points(video, text), text


@one_sentence()
def _show_points(video: Any, text: str) -> Any:
    first = first_frame(path_of(video, "a video"))
    return draw_points(first.image, [first.to_image(x, y) for x, y in points(text)])


def _show_kind(kind: str) -> list[Any]:
    """What is given for it, and the file it makes; colors make a video only."""
    return [*(gr.update(visible=kind == each) for each in KINDS), gr.update(visible=KINDS[kind] != "colors")]
