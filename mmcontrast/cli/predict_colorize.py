"""``mmcontrast predict colorize``: gray photographs in, colored ones out."""

import argparse
import csv
import json
import sys
from pathlib import Path

from mmcontrast.cli.output import output_folder
from mmcontrast.errors import InputError


def add_colorize(subparsers) -> None:
    """Adds the ``colorize`` subcommand."""
    parser = subparsers.add_parser(
        "colorize",
        help="color gray photographs",
        description="Color photographs by their lightness. Writes NAME.png at full size for each, and colorize.csv "
        "with one row per file: path, output, error.",
        epilog="example: mmcontrast predict colorize --out out/ photos/",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder searched at any depth")
    parser.add_argument(
        "--model",
        default="colorization-lite",
        metavar="M",
        help="trained by Colorization or SplitBrain (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which the network sees images")
    parser.add_argument("--temperature", type=float, metavar="T", help="near 0 vivid and patchy, at 1 pale and smooth")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="images at once (default: 8)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_colorize)


def run_colorize(args: argparse.Namespace) -> int:
    """Prints a summary as JSON; returns 0, or 1 when an image could not be read."""
    from PIL import Image
    from tqdm import tqdm

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.colorize import Colorizer

    files = image_files(*args.paths)
    if not files:
        raise InputError(f"no images in {', '.join(args.paths)}")
    color = Colorizer(
        args.model,
        device=args.device,
        batch_size=args.batch_size,
        resolution=args.resolution,
        temperature=args.temperature,
    )
    out = output_folder(args.out)
    errors = 0
    with (out / "colorize.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("path", "output", "error"))
        images = tqdm(color.stream(files), total=len(files), unit="image", disable=None, leave=False)
        for file, target, result in zip(files, _targets(files, out), images, strict=True):
            if result.value is None:
                errors += 1
                rows.writerow((file, "", (result.error or "").removeprefix(f"{file}: ")))
            else:
                Image.fromarray(result.value.image).save(target)
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
