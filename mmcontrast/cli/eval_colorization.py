"""``mmcontrast eval colorize``: how near predicted colors are."""

import argparse
import json
from pathlib import Path

from mmcontrast.errors import InputError


def add_colorize(subparsers) -> None:
    """Adds the ``colorize`` subcommand."""
    parser = subparsers.add_parser(
        "colorize",
        help="how near the colors of gray photographs are",
        description="Share of pixels within a distance of their color, over distances from 0 to 150 (auc), with each "
        "color counted alike (auc_balanced), mean distance and chroma, beside a gray image's, as JSON.",
    )
    parser.add_argument(
        "--model", default="colorization-lite", metavar="M", help="name or folder (default: %(default)s)"
    )
    parser.add_argument("--data", required=True, metavar="PATH", help="photographs: a folder or shards")
    parser.add_argument("--temperature", type=float, metavar="T", help="of the annealed mean (default: the model's)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at once (default: 32)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json")
    parser.set_defaults(run=run_colorize)


def run_colorize(args: argparse.Namespace) -> int:
    """Prints the result, and writes it where asked to; returns 0."""
    from mmcontrast.evals.colorization import colorization
    from mmcontrast.inference.device import choose_device
    from mmcontrast.methods.colorization import Colorization
    from mmcontrast.methods.split_brain import SplitBrain
    from mmcontrast.models.loading import load

    if args.batch_size < 1:
        raise InputError(f"--batch-size {args.batch_size}: give 1 or more")
    if args.temperature is not None and args.temperature <= 0:
        raise InputError(f"--temperature {args.temperature}: give a number above 0")
    device = choose_device(args.device)
    method = load(args.model)
    if not isinstance(method, Colorization | SplitBrain):
        raise InputError(
            f"{args.model} is a {type(method).__name__}; give a model trained by Colorization or SplitBrain"
        )
    found = colorization(method.to(device), args.data, args.temperature, args.batch_size, progress=True)
    text = json.dumps({"model": args.model, "data": args.data, **found}, indent=2, ensure_ascii=False)
    print(text)
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        Path(args.out, "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 0
