"""``mmcontrast predict track``: carry masks, points or colors through a video."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from mmcontrast.cli.output import output_folder, refuse_to_overwrite
from mmcontrast.errors import InputError
from mmcontrast.inference.points import parse_points

if TYPE_CHECKING:
    import numpy as np

    from mmcontrast.data.io.video import Video
    from mmcontrast.predict.track import LabelPropagator

EXAMPLES = """examples:
  mmcontrast predict track --video in.mp4 --mask first.png --out out/
  mmcontrast predict track --video in.mp4 --points "120,80;200,95" --out out/
  mmcontrast predict track --video gray.mp4 --colors --color-frame first.png \\
    --out out/"""


def add_track(subparsers) -> None:
    """Adds the ``track`` subcommand."""
    parser = subparsers.add_parser(
        "track",
        help="carry masks, points or colors of the first frame through a video",
        description="Carry masks, points or colors of a video's first frame through the video.\n"
        "Writes masks/00000.png, ... (palette PNG) or points.csv (frame, id, x, y,\n"
        "confidence, visible), and overlay.mp4; or colors.mp4.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--video", required=True, metavar="F", help="a video file, or a folder of frames")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--mask", metavar="F", help="object ids of the first frame, a PNG of the video's size")
    what.add_argument("--points", metavar="P", help='points of the first frame in pixels, such as "120,80;200,95"')
    what.add_argument("--colors", action="store_true", help="color a gray video from its first frame")
    parser.add_argument("--color-frame", metavar="F", help="the first frame in color, where the video's own is gray")
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

    from mmcontrast.predict.track import LabelPropagator, default_model

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
    """Prints a summary as JSON; returns 0, or 1 when a part of the video could not be read."""
    if args.color_frame and not args.colors:
        raise InputError("--color-frame goes with --colors")
    places = parse_points(args.points, "--points") if args.points else []

    from tqdm import tqdm

    from mmcontrast.data.io.video import open_video
    from mmcontrast.predict.track_writer import Kind, write_tracked

    video = open_video(args.video)
    track = propagator(args)
    out = output_folder(args.out)
    kind: Kind
    first: Any
    if args.mask:
        kind, first = "masks", read_first(args.mask, video)
    elif args.points:
        kind, first = "points", places
    else:
        kind, first = "colors", read_color(args.color_frame, video) if args.color_frame else None
    overlay = None if args.no_overlay and not args.colors else out / ("colors.mp4" if args.colors else "overlay.mp4")
    refuse_to_overwrite(args.video, out, overlay or out, out / "masks")
    start = time.perf_counter()
    steps = write_tracked(kind, track, video, first, out, overlay)
    done = sum(1 for _ in tqdm(steps, total=len(video), unit="frame", disable=None, leave=False))
    seconds = time.perf_counter() - start
    summary = {"video": args.video, "out": str(out), "frames": done, "seconds_per_frame": round(seconds / done, 4)}
    print(json.dumps(summary))
    if video.problem:
        print(f"mmcontrast: {video.problem}; tracked the {done} that are there.", file=sys.stderr)
    return 1 if video.problem else 0


def read_first(path: str, video: "Video") -> "np.ndarray":
    """The mask of the first frame, (H, W) uint8 ids.

    Raises:
        InputError: one that does not fit the video; the message names the file.
    """
    from mmcontrast.data.io.masks import read_mask
    from mmcontrast.predict.label_maps import check_mask

    mask = read_mask(path)
    check_mask(mask, video.height, video.width, path)
    return mask


def read_color(path: str, video: "Video") -> "np.ndarray":
    """The first frame in color, (H, W, 3) uint8.

    Raises:
        InputError: no image, or one of another size than the video; the message names the file.
    """
    from mmcontrast.data.io.decode import decode
    from mmcontrast.predict.label_maps import check_size

    frame = decode(path)
    check_size(frame, video.height, video.width, path)
    return frame
