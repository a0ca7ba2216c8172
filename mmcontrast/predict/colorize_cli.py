"""``mmcontrast predict colorize``: grey photographs in, coloured ones out."""

import argparse
import csv
import json
import sys
from pathlib import Path

from mmcontrast.errors import InputError
from mmcontrast.predict.output import output_folder


def add_colorize(subparsers) -> None:
    """Adds the ``colorize`` subcommand."""
    parser = subparsers.add_parser(
        "colorize",
        help="colour grey photographs",
        description="Colour photographs by their lightness. Writes NAME.png at full size for each, and colorize.csv "
        "with one row per file: path, output, error.",
        epilog="example: mmcontrast predict colorize --out out/ photos/",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder searched at any depth")
    parser.add_argument(
        "--model",
        default="colorization-lite",
        metavar="M",
        help="trained by Colorization or SplitBrain (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which the network sees pictures")
    parser.add_argument("--temperature", type=float, metavar="T", help="near 0 vivid and patchy, at 1 pale and smooth")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="pictures at once (default: 8)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_colorize)


def run_colorize(args: argparse.Namespace) -> int:
    """Prints a summary as JSON; returns 0, or 1 when a picture could not be read."""
    from PIL import Image
    from tqdm import tqdm

    from mmcontrast.predict.colorize import Colorizer
    from mmcontrast.predict.images import picture_files

    files = picture_files(*args.paths)
    if not files:
        raise InputError(f"no pictures in {', '.join(args.paths)}")
    color = Colorizer(args.model, args.device, args.batch_size, args.resolution, args.temperature)
    out = output_folder(args.out)
    errors = 0
    with (out / "colorize.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("path", "output", "error"))
        pictures = tqdm(color.stream(files), total=len(files), unit="picture", disable=None, leave=False)
        for file, target, picture in zip(files, _targets(files, out), pictures, strict=True):
            if isinstance(picture, str):
                errors += 1
                rows.writerow((file, "", picture.removeprefix(f"{file}: ")))
            else:
                Image.fromarray(picture).save(target)
                rows.writerow((file, target, ""))
    print(json.dumps({"out": str(out), "images": len(files), "errors": errors}))
    if errors:
        print(f"mmcontrast: {errors} of {len(files)} files could not be read; see {out}/colorize.csv.", file=sys.stderr)
    return 1 if errors else 0


def _targets(files: list[Path], out: Path) -> list[Path]:
    """NAME.png of each file, with underscores where a name comes again; no file that is read is written over."""
    taken = {file.resolve() for file in files}
    targets = []
    for file in files:
        target = out / f"{file.stem}.png"
        while target.resolve() in taken:
            target = target.with_stem(target.stem + "_")
        taken.add(target.resolve())
        targets.append(target)
    return targets
