"""``mmcontrast predict match``: find points of one image in others, or in every frame of a video."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.cli.output import output_folder, refuse_to_overwrite
from mmcontrast.errors import InputError
from mmcontrast.inference.points import parse_points

if TYPE_CHECKING:
    import numpy as np

    from mmcontrast.data.io.video import Video
    from mmcontrast.predict.match import DescriptorMatcher

EXAMPLES = """examples:
  mmcontrast predict match --reference a.png --at 120,80 --image b.png --out o/
  mmcontrast predict match --reference a.png --at 120,80 200,95 --image dir/ \\
    --out o/
  mmcontrast predict match --reference a.png --at 120,80 --video in.mp4 --out o/"""
COLUMNS = ("image", "point", "at_x", "at_y", "x", "y", "distance", "confidence", "error")


def add_match(subparsers) -> None:
    """Adds the ``match`` subcommand."""
    parser = subparsers.add_parser(
        "match",
        help="find points of one image in others",
        description="Find points of a reference image in other images or in a video by their\n"
        "descriptors. Writes matches.csv, and NAME.png per image (reference, matches,\n"
        "heat map) or matches.mp4 for a video.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reference", required=True, metavar="F", help="the image that the points are in")
    parser.add_argument(
        "--at", required=True, nargs="+", action="extend", metavar="X,Y", help="points of it, in pixels"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--image", nargs="+", action="extend", metavar="PATH", help="images, or folders of images, to look in"
    )
    where.add_argument("--video", metavar="F", help="a video file or a folder of frames to look in")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--model", default="don-lite", metavar="M", help="model name or folder; lab: no model (default: %(default)s)"
    )
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which the network sees images")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_match)


def run_match(args: argparse.Namespace) -> int:
    """Prints a summary as JSON; returns 0, or 1 when an image or a part of the video could not be read."""
    points = parse_points(";".join(args.at), "--at")
    from mmcontrast.data.io.decode import decode
    from mmcontrast.data.io.video import open_video
    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.match import DescriptorMatcher

    video = open_video(args.video) if args.video else None
    files = image_files(*args.image or ())
    if video:
        refuse_to_overwrite(args.video, args.out, Path(args.out, "matches.mp4"))
    if not video and not files:
        raise InputError(f"no images in {', '.join(args.image)}")
    match = DescriptorMatcher(args.model, device=args.device, resolution=args.resolution)
    reference = decode(args.reference)
    match.set_reference(reference)
    match.check(points)
    out = output_folder(args.out)
    errors = count = 0
    with (out / "matches.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        rows.writeheader()
        steps = _video(video, out) if video else _images(files, out, Path(args.reference))
        for name, image, keep in steps:
            count += 1
            if isinstance(image, str):
                errors += 1
                rows.writerow({"image": name, "error": image.removeprefix(f"{name}: ")})
                continue
            records, photo = match_one(match, reference, points, image)
            rows.writerows({"image": name, **record} for record in records)
            keep(photo)
    print(json.dumps({"out": str(out), "images": count, "points": len(points), "errors": errors}))
    if errors:
        where = f"the error column of {out / 'matches.csv'}"
        print(f"mmcontrast: {errors} of {count} files could not be read; see {where}.", file=sys.stderr)
    if video and video.problem:
        print(f"mmcontrast: {video.problem}", file=sys.stderr)
    return 1 if errors or (video and video.problem) else 0


def match_one(
    match: "DescriptorMatcher", reference: "np.ndarray", points: list[tuple[float, float]], image: "np.ndarray"
) -> tuple[list[dict[str, Any]], "np.ndarray"]:
    """Rows of matches.csv for one image, and the image that shows them."""
    import torch

    from mmcontrast.viz.matches import draw_matches

    found = match.find(image, points)
    heat = torch.stack([match.heatmap(image, point) for point in points]).amax(0)
    places = [(x, y) for x, y in found.xy.tolist()]
    records = [
        {
            "point": number,
            "at_x": f"{at[0]:g}",
            "at_y": f"{at[1]:g}",
            "x": f"{x:.2f}",
            "y": f"{y:.2f}",
            "distance": f"{distance:.5f}",
            "confidence": f"{confidence:.4f}",
        }
        for number, (at, (x, y), distance, confidence) in enumerate(
            zip(points, places, found.distance.tolist(), found.confidence.tolist(), strict=True), 1
        )
    ]
    return records, draw_matches(reference, points, image, places, heat.cpu().numpy())


def _images(files: list[Path], out: Path, reference: Path) -> Iterator[tuple[str, Any, Any]]:
    """(name, image or error, where to put the drawing: never onto an image that was given) of every file."""
    from PIL import Image
    from tqdm import tqdm

    from mmcontrast.data.io.decode import decode

    taken = {path.resolve() for path in (reference, *files)}
    for path in tqdm(files, unit="image", disable=None, leave=False):
        target = out / f"{path.stem}.png"
        while target.resolve() in taken:
            target = target.with_stem(target.stem + "_")
        taken.add(target.resolve())
        try:
            image: Any = decode(path)
        except InputError as error:
            image = str(error)
        yield str(path), image, lambda photo, target=target: Image.fromarray(photo).save(target)


def _video(video: "Video", out: Path) -> Iterator[tuple[str, Any, Any]]:
    from tqdm import tqdm

    from mmcontrast.data.io.video_writer import VideoWriter

    with VideoWriter(out / "matches.mp4", video.fps) as writer:
        for number, frame in enumerate(tqdm(video, total=len(video), unit="frame", disable=None, leave=False)):
            yield f"{video.name}#{number}", frame, writer.write
