"""``mmcontrast predict track``: carry masks, points or colours through a film."""

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mmcontrast.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mmcontrast.data.video import CurrentFrame, Video
    from mmcontrast.data.video_writer import VideoWriter
    from mmcontrast.predict.propagate import LabelPropagator

EXAMPLES = """examples:
  mmcontrast predict track --video in.mp4 --mask first.png --out out/
  mmcontrast predict track --video in.mp4 --points "120,80;200,95" --out out/
  mmcontrast predict track --video grey.mp4 --colors --color-frame first.png --out out/"""


def add_track(subparsers) -> None:
    """Adds the ``track`` subcommand."""
    parser = subparsers.add_parser(
        "track",
        help="carry masks, points or colours of the first frame through a film",
        description="Carry masks, points or colours of a film's first frame through the film.\n"
        "Writes masks/00000.png, ... (palette PNG) or points.csv (frame, id, x, y,\n"
        "confidence, visible), and overlay.mp4; or colors.mp4.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--video", required=True, metavar="F", help="a video file, or a folder of frames")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mask", metavar="F", help="object ids of the first frame, a PNG of the film's size")
    what.add_argument("--points", metavar="P", help='points of the first frame in pixels, such as "120,80;200,95"')
    what.add_argument("--colors", action="store_true", help="colour a grey film from its first frame")
    parser.add_argument("--color-frame", metavar="F", help="the first frame in colour, where the film's own is grey")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--no-overlay", action="store_true", help="do not write overlay.mp4")
    add_propagation(parser)
    parser.set_defaults(run=run_track)


def add_propagation(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that ``propagator`` reads."""
    parser.add_argument(
        "--model", metavar="M", help="model name or folder; lab: no model (default: the bundled one, else lab)"
    )
    parser.add_argument("--preset", default="dino", help="dino, crw, mast, dinov3 or vondrick (default: %(default)s)")
    parser.add_argument("--context", type=int, metavar="N", help="last frames in memory (default: the preset's)")
    parser.add_argument("--topk", type=int, metavar="K", help="cells to copy from")
    parser.add_argument("--radius", type=float, metavar="R", help="of the search window, in cells")
    parser.add_argument("--temperature", type=float, metavar="T", help="of the softmax over similarities")
    parser.add_argument(
        "--resolution", type=int, default=480, metavar="S", help="short side at which frames are seen (default: 480)"
    )
    parser.add_argument(
        "--bf16", action="store_true", help="bfloat16 features: half the memory, faster on new hardware"
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")


def propagator(args: argparse.Namespace) -> "LabelPropagator":
    """The tracker that the flags of ``add_propagation`` describe."""
    import torch

    from mmcontrast.predict.propagate import LabelPropagator, default_model

    args.model = args.model or default_model()
    return LabelPropagator(
        args.model,
        preset=args.preset,
        context=args.context,
        topk=args.topk,
        radius=args.radius,
        temperature=args.temperature,
        resolution=args.resolution,
        dtype=torch.bfloat16 if args.bf16 else torch.float32,
        device=args.device,
    )


def run_track(args: argparse.Namespace) -> int:
    """Prints a summary as JSON; returns 0, or 1 when a part of the film could not be read."""
    if args.color_frame and not args.colors:
        raise InputError("--color-frame goes with --colors")
    places = parse_points(args.points) if args.points else []

    from tqdm import tqdm

    from mmcontrast.data.video import CurrentFrame, open_video
    from mmcontrast.data.video_writer import VideoWriter

    film, out = CurrentFrame(open_video(args.video)), Path(args.out)
    track = propagator(args)
    try:
        (out / "masks" if args.mask else out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be made ({error.strerror})") from error
    start = time.perf_counter()
    with ExitStack() as stack:
        name = "colors.mp4" if args.colors else "overlay.mp4"
        wanted = args.colors or not args.no_overlay
        writer = stack.enter_context(VideoWriter(out / name, film.fps)) if wanted else None
        if args.mask:
            steps = _write_masks(track, film, args.mask, out, writer)
        elif args.points:
            steps = _write_points(track, film, places, out, writer)
        else:
            steps = _write_colors(track, film, args.color_frame, writer)
        done = sum(1 for _ in tqdm(steps, total=len(film), unit="frame", disable=None, leave=False))
    seconds = time.perf_counter() - start
    summary = {"video": args.video, "out": str(out), "frames": done, "seconds_per_frame": round(seconds / done, 4)}
    print(json.dumps(summary))
    if film.problem:
        print(f"mmcontrast: {film.problem}; tracked the {done} that are there.", file=sys.stderr)
    return 1 if film.problem else 0


def parse_points(text: str) -> list[tuple[float, float]]:
    """ "x,y;x,y" -> pairs.

    Raises:
        InputError: anything else.
    """
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(";") if pair.strip()]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f'--points {text!r}: wanted pairs such as "120,80;200,95"')
    return [(pair[0], pair[1]) for pair in pairs]


def _write_masks(
    track: "LabelPropagator", film: "CurrentFrame", first: str, out: Path, overlay: "VideoWriter | None"
) -> Iterator[None]:
    from mmcontrast.data.masks import write_mask
    from mmcontrast.predict.overlay import draw_masks

    for number, ids in enumerate(track.iter_masks(film, read_first(first, film))):
        write_mask(out / "masks" / f"{number:05d}.png", ids)
        if overlay:
            overlay.write(draw_masks(film.frame, ids))
        yield


def read_first(path: str, film: "Video") -> "np.ndarray":
    """The mask of the first frame, (H, W) uint8 ids.

    Raises:
        InputError: one that does not fit the film; the message names the file.
    """
    from mmcontrast.data.masks import read_mask
    from mmcontrast.predict.label_maps import check_mask

    mask = read_mask(path)
    check_mask(mask, film.height, film.width, path)
    return mask


def _write_points(
    track: "LabelPropagator",
    film: "CurrentFrame",
    places: list[tuple[float, float]],
    out: Path,
    overlay: "VideoWriter | None",
) -> Iterator[None]:
    from mmcontrast.predict.overlay import PointDrawer

    draw = PointDrawer()
    with (out / "points.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["frame", "id", "x", "y", "confidence", "visible"])
        for number, found in enumerate(track.iter_points(film, places)):
            for i, ((x, y), confidence, visible) in enumerate(zip(*found, strict=True)):
                rows.writerow([number, i, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}", int(visible)])
            if overlay:
                overlay.write(draw(film.frame, found.xy, found.visible))
            yield


def _write_colors(
    track: "LabelPropagator", film: "Video", first: str | None, writer: "VideoWriter | None"
) -> Iterator[None]:
    for frame in track.iter_colors(film, first):
        if writer:
            writer.write(frame)
        yield
