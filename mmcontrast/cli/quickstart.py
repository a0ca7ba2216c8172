"""``mmcontrast quickstart``: every track once, offline, on photographs that installed packages carry."""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.options import Out, Overwrite
from mmcontrast.cli.output import OutputFolder, output_folder


class Photograph(NamedTuple):
    """A real photograph or video inside an installed package."""

    package: str
    path: str

    def file(self) -> Path | None:
        """Returns its path; None if the package, or this file of it, is not installed."""
        spec = importlib.util.find_spec(self.package)
        for folder in (spec and spec.submodule_search_locations) or ():
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
LIGHTS = ((198, 100), (250, 78), (250, 175))  # lights of India, China, Java
LABELS = (
    "big cat", "lion", "house cat", "dog", "horse", "tower", "pagoda", "bridge", "beach", "car", "ship",
    "flower", "tree",
)  # fmt: skip


def zero_shot(out: OutputFolder | None) -> None:
    """Names the photographs: a table, zero_shot.csv and zero_shot.png."""
    from mmcontrast.cli.prediction_table import Row, open_table
    from mmcontrast.predict.zero_shot import ZeroShotClassifier
    from mmcontrast.viz.contact_sheet import draw_contact_sheet

    files = [file for photograph in PHOTOGRAPHS if (file := photograph.file())]
    print(f"Zero-shot: {len(files)} photographs, {len(LABELS)} labels, model clip-lite")
    if not files:
        print("  skipped: neither gradio nor scikit-learn carries the photographs any more")
        return
    guesses = ZeroShotClassifier("clip-lite", LABELS).top(files, k=3)
    print(f"  {'photograph':<16}{'first guess':<22}{'second guess':<22}{'third guess'}")
    for file, best in zip(files, guesses, strict=True):
        print(f"  {file.name:<16}" + "".join(f"{f'{label} {score:.0%}':<22}" for label, score in best).rstrip())
    if out:
        with open_table(out / "zero_shot.csv", [], top=3) as write:
            for file, best in zip(files, guesses, strict=True):
                write(Row(str(file), best))
        sheet = out / "zero_shot.png"
        draw_contact_sheet(files, guesses, sheet, f"clip-lite chooses among {len(LABELS)} labels")
        print(f"  -> {out.path / 'zero_shot.csv'}, {sheet}")


def track(out: OutputFolder | None) -> None:
    """Tracks India on the turning globe: track.mp4."""
    from contextlib import nullcontext

    import cv2
    import numpy as np

    from mmcontrast.data.io.video import CurrentFrame, FrameArray, open_video
    from mmcontrast.data.io.video_writer import VideoWriter
    from mmcontrast.predict.track import LabelPropagator, default_model
    from mmcontrast.viz.overlay import draw_masks

    file = GLOBE.file()
    print(f"Track: India on a video of the turning Earth, model {default_model()}")
    if not file:
        print("  skipped: gradio no longer carries the video")
        return
    video = CurrentFrame(FrameArray(open_video(file).read(range(0, 120, 3)), fps=10))
    first = np.zeros((video.height, video.width), np.uint8)
    cv2.fillPoly(first, [np.array(INDIA)], [1])
    masks = LabelPropagator(default_model(), resolution=video.height).iter_masks(video, first)
    target = out / "track.mp4" if out else None
    with VideoWriter(target, video.fps) if target else nullcontext() as overlay:
        for mask in masks:
            if overlay:
                overlay.write(draw_masks(video.frame, mask))
    print(f"  {len(video)} frames" + (f" -> {target}" if target else ""))


def match(out: OutputFolder | None) -> None:
    """Finds lights of the globe again after it turned: match.csv and match.png."""
    import cv2

    from mmcontrast.data.io.video import open_video
    from mmcontrast.predict.match import DescriptorMatcher
    from mmcontrast.viz.matches import draw_matches

    file = GLOBE.file()
    print("Match: lights of the Earth, in an image of it turned further, model don-lite")
    if not file:
        print("  skipped: gradio no longer carries the video")
        return
    reference, image = open_video(file).read([0, 40])
    matcher = DescriptorMatcher("don-lite")
    matcher.set_reference(reference)
    matches = matcher.find(image, at=LIGHTS)
    pairs = list(zip(LIGHTS, matches.xy.tolist(), matches.distance.tolist(), strict=True))
    for (at_x, at_y), (x, y), distance in pairs:
        print(f"  ({at_x}, {at_y}) -> ({x:.1f}, {y:.1f}), distance {distance:.3f}")
    if out:
        with open_csv(out / "match.csv", ("at_x", "at_y", "x", "y", "distance")) as write:
            for at, (x, y), distance in pairs:
                write((*at, round(x, 1), round(y, 1), round(distance, 3)))
        heat = matcher.heatmap(image, LIGHTS[0]).numpy()
        photo = draw_matches(reference, LIGHTS, image, matches.xy.tolist(), heat)
        cv2.imwrite(str(out / "match.png"), photo[..., ::-1])
        print(f"  -> {out.path / 'match.csv'}, {out.path / 'match.png'}")


STEPS: tuple[Callable[[OutputFolder | None], None], ...] = (zero_shot, track, match)


def quickstart(out: Out = None, overwrite: Overwrite = False) -> int:
    """Run every track once, offline, with the bundled models.

    The photographs and the video are those that installed packages carry. Tables, images and a video go to --out.

      mmcontrast quickstart --out first/
    """
    started, folder = time.monotonic(), output_folder(out, overwrite)
    for step in STEPS:
        step(folder)
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0
