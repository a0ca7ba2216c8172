"""``mmcontrast quickstart``: every track once, offline, on photographs that installed packages carry."""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Photograph(NamedTuple):
    """A real photograph or video inside an installed package."""

    package: str
    path: str

    def file(self) -> Path | None:
        """Where it lies; None when the package, or this file of it, is not installed."""
        found = importlib.util.find_spec(self.package)
        for folder in (found and found.submodule_search_locations) or ():
            if (file := Path(folder, self.path)).is_file():
                return file
        return None


PHOTOGRAPHS = (
    Photograph("gradio", "media_assets/images/cheetah1.jpg"),
    Photograph("gradio", "media_assets/images/lion.jpg"),
    Photograph("gradio", "media_assets/images/cheetah.jpg"),
    Photograph("gradio", "test_data/cheetah2.jpg"),
    Photograph("gradio", "media_assets/images/tower.jpg"),
    Photograph("sklearn", "datasets/images/china.jpg"),
    Photograph("sklearn", "datasets/images/flower.jpg"),
)
GLOBE = Photograph("gradio", "media_assets/videos/b.mp4")
INDIA = ((172, 86), (205, 80), (228, 96), (215, 112), (196, 118), (178, 105))  # (x, y) in its first frame
PLACES = ((198, 100), (250, 78), (250, 175))  # lights of India, China, Java
LABELS = (
    "big cat", "lion", "house cat", "dog", "horse", "tower", "pagoda", "bridge", "beach", "car", "ship",
    "flower", "tree",
)  # fmt: skip


def zero_shot(out: Path) -> None:
    """Names the photographs: a table, zero_shot.csv and zero_shot.png."""
    from mmcontrast.inference.result_table import Row, open_sink
    from mmcontrast.predict.zero_shot import ZeroShotClassifier
    from mmcontrast.viz.contact_sheet import draw_contact_sheet

    files = [file for photograph in PHOTOGRAPHS if (file := photograph.file())]
    print(f"Zero-shot: {len(files)} photographs, {len(LABELS)} labels, model clip-lite")
    if not files:
        print("  skipped: neither gradio nor scikit-learn carries the photographs any more")
        return
    guesses = ZeroShotClassifier("clip-lite", LABELS).top(files, k=3)
    print(f"  {'photograph':<16}{'first guess':<22}{'second guess':<22}{'third guess'}")
    with open_sink(str(out / "zero_shot.csv"), [], top=3) as write:
        for file, best in zip(files, guesses, strict=True):
            write(Row(str(file), best))
            print(f"  {file.name:<16}" + "".join(f"{f'{label} {score:.0%}':<22}" for label, score in best).rstrip())
    draw_contact_sheet(files, guesses, out / "zero_shot.png", f"clip-lite chooses among {len(LABELS)} labels")
    print(f"  -> {out / 'zero_shot.csv'}, {out / 'zero_shot.png'}")


def track(out: Path) -> None:
    """Follows India on the turning globe: track.mp4."""
    import cv2
    import numpy as np

    from mmcontrast.data.io.video import CurrentFrame, FrameArray, VideoFile
    from mmcontrast.data.io.video_writer import VideoWriter
    from mmcontrast.predict.track import LabelPropagator, default_model
    from mmcontrast.viz.overlay import draw_masks

    file = GLOBE.file()
    print(f"Track: India on a video of the turning Earth, model {default_model()}")
    if not file:
        print("  skipped: gradio no longer carries the video")
        return
    video = CurrentFrame(FrameArray(VideoFile(file).read(range(0, 120, 3)), fps=10))
    first = cv2.fillPoly(np.zeros((video.height, video.width), np.uint8), [np.array(INDIA)], 1)
    masks = LabelPropagator(default_model(), resolution=video.height).iter_masks(video, first)
    with VideoWriter(out / "track.mp4", video.fps) as overlay:
        for mask in masks:
            overlay.write(draw_masks(video.frame, mask))
    print(f"  {len(video)} frames -> {out / 'track.mp4'}")


def match(out: Path) -> None:
    """Finds places of the globe again after it turned: match.csv and match.png."""
    import csv

    import cv2

    from mmcontrast.data.io.video import VideoFile
    from mmcontrast.predict.match import DescriptorMatcher
    from mmcontrast.viz.matches import draw_matches

    file = GLOBE.file()
    print("Match: places of the Earth, in an image of it turned further, model don-lite")
    if not file:
        print("  skipped: gradio no longer carries the video")
        return
    reference, image = VideoFile(file).read([0, 40])
    matcher = DescriptorMatcher("don-lite")
    matcher.set_reference(reference)
    matches = matcher.find(image, at=PLACES)
    found, distance = matches.xy, matches.distance  # (Q, 2), (Q,)
    with open(out / "match.csv", "w", newline="", encoding="utf-8") as stream:
        write = csv.writer(stream)
        write.writerow(["x", "y", "found_x", "found_y", "distance"])
        for at, xy, d in zip(PLACES, found.tolist(), distance.tolist(), strict=True):
            write.writerow([*at, *(round(value, 1) for value in xy), round(d, 3)])
    photo = draw_matches(reference, PLACES, image, found.tolist(), matcher.heatmap(image, PLACES[0]).numpy())
    cv2.imwrite(str(out / "match.png"), photo[..., ::-1])
    print(f"  {len(PLACES)} points -> {out / 'match.csv'}, {out / 'match.png'}")


STEPS: tuple[Callable[[Path], None], ...] = (zero_shot, track, match)


def add_parsers(subparsers) -> None:
    """Adds the ``quickstart`` subcommand."""
    text = "Run every track once, offline, with the bundled models, on photographs that installed packages carry."
    parser = subparsers.add_parser("quickstart", help="see every track work, offline", description=text)
    parser.add_argument("--out", default="runs/quickstart", metavar="DIR", help="folder for results (%(default)s)")
    parser.set_defaults(run=run_quickstart)


def run_quickstart(args: argparse.Namespace) -> int:
    """Runs every step; returns 0."""
    started, out = time.monotonic(), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        step(out)
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0
