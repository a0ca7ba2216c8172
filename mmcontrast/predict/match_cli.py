"""``mmcontrast predict match``: find points of one picture in others, or in every frame of a film."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.errors import InputError
from mmcontrast.predict.output import output_folder, spare
from mmcontrast.predict.points import parse_points

if TYPE_CHECKING:
    import numpy as np

    from mmcontrast.data.video import Video
    from mmcontrast.predict.correspond import DescriptorMatcher

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
        help="find points of one picture in others",
        description="Find points of a reference picture in other pictures or in a film by their\n"
        "descriptors. Writes matches.csv, and NAME.png per picture (reference, matches,\n"
        "heat map) or matches.mp4 for a film.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reference", required=True, metavar="F", help="the picture that the points are in")
    parser.add_argument(
        "--at", required=True, nargs="+", action="extend", metavar="X,Y", help="points of it, in pixels"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--image", nargs="+", action="extend", metavar="PATH", help="pictures, or folders of pictures, to look in"
    )
    where.add_argument("--video", metavar="F", help="a video file or a folder of frames to look in")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--model", default="don-lite", metavar="M", help="model name or folder; lab: no model (default: %(default)s)"
    )
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which the network sees pictures")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_match)


def run_match(args: argparse.Namespace) -> int:
    """Prints a summary as JSON; returns 0, or 1 when a picture or a part of the film could not be read."""
    points = parse_points(";".join(args.at), "--at")
    from mmcontrast.data.decode import decode
    from mmcontrast.data.video import open_video
    from mmcontrast.predict.correspond import DescriptorMatcher
    from mmcontrast.predict.images import picture_files

    film = open_video(args.video) if args.video else None
    files = picture_files(*args.image or ())
    if film:
        spare(args.video, args.out, Path(args.out, "matches.mp4"))
    if not film and not files:
        raise InputError(f"no pictures in {', '.join(args.image)}")
    match = DescriptorMatcher(args.model, args.device, args.resolution)
    reference = decode(args.reference)
    match.set_reference(reference)
    match.check(points)
    out = output_folder(args.out)
    errors = count = 0
    with (out / "matches.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        rows.writeheader()
        steps = _film(film, out) if film else _pictures(files, out, Path(args.reference))
        for name, image, keep in steps:
            count += 1
            if isinstance(image, str):
                errors += 1
                rows.writerow({"image": name, "error": image.removeprefix(f"{name}: ")})
                continue
            records, picture = match_one(match, reference, points, image)
            rows.writerows({"image": name, **record} for record in records)
            keep(picture)
    print(json.dumps({"out": str(out), "images": count, "points": len(points), "errors": errors}))
    if errors:
        where = f"the error column of {out / 'matches.csv'}"
        print(f"mmcontrast: {errors} of {count} files could not be read; see {where}.", file=sys.stderr)
    if film and film.problem:
        print(f"mmcontrast: {film.problem}", file=sys.stderr)
    return 1 if errors or (film and film.problem) else 0


def match_one(
    match: "DescriptorMatcher", reference: "np.ndarray", points: list[tuple[float, float]], image: "np.ndarray"
) -> tuple[list[dict[str, Any]], "np.ndarray"]:
    """Rows of matches.csv for one picture, and the picture that shows them."""
    import torch

    from mmcontrast.predict.match_picture import draw_matches

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


def _pictures(files: list[Path], out: Path, reference: Path) -> Iterator[tuple[str, Any, Any]]:
    """(name, picture or error, where to put the drawing: never onto a picture that was given) of every file."""
    from PIL import Image
    from tqdm import tqdm

    from mmcontrast.data.decode import decode

    taken = {path.resolve() for path in (reference, *files)}
    for path in tqdm(files, unit="picture", disable=None, leave=False):
        target = out / f"{path.stem}.png"
        while target.resolve() in taken:
            target = target.with_stem(target.stem + "_")
        taken.add(target.resolve())
        try:
            image: Any = decode(path)
        except InputError as error:
            image = str(error)
        yield str(path), image, lambda picture, target=target: Image.fromarray(picture).save(target)


def _film(film: "Video", out: Path) -> Iterator[tuple[str, Any, Any]]:
    from tqdm import tqdm

    from mmcontrast.data.video_writer import VideoWriter

    with VideoWriter(out / "matches.mp4", film.fps) as writer:
        for number, frame in enumerate(tqdm(film, total=len(film), unit="frame", disable=None, leave=False)):
            yield f"{film.name}#{number}", frame, writer.write
