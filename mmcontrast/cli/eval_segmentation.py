"""``mmcontrast eval segment``: semantic segmentation from patch features."""

import argparse
from pathlib import Path

from mmcontrast.cli.eval_classification import add_common, at_least_one, encoder_of, numbers, report


def add_segment(subparsers) -> None:
    """Adds the ``segment`` subcommand."""
    parser = subparsers.add_parser(
        "segment",
        help="mIoU of classifiers on patch features",
        description="Mean intersection over union of a linear and of a nearest-neighbor classifier on patch features, "
        "as JSON, with images of the segments. Data: shards with KEY.jpg and KEY.png, or folders with masks.",
    )
    parser.add_argument("--train", dest="train_data", required=True, metavar="PATH", help="images to learn from")
    parser.add_argument("--test", dest="test_data", metavar="PATH", help="to measure on (default: the end of --train)")
    parser.add_argument("--held-out", type=float, default=0.3, metavar="SHARE", help="of --train (default: 0.3)")
    parser.add_argument("--ignore", default="255", metavar="N,...", help="classes that count nowhere (default: 255)")
    parser.add_argument("--resolution", type=int, metavar="S", help="short side (default: twice the encoder's size)")
    parser.add_argument("--k", type=int, default=30, metavar="K", help="neighbors (default: 30)")
    parser.add_argument("--temperature", type=float, default=0.02, metavar="T", help="of the votes (default: 0.02)")
    add_common(parser)
    parser.set_defaults(run=run_segment)


def run_segment(args: argparse.Namespace) -> int:
    """Prints the result and writes it with its images; returns 0."""
    from mmcontrast.evals.segment import segment

    out = Path(args.out or "runs/eval-segment")
    result = segment(
        encoder_of(args),
        args.train_data,
        args.test_data,
        numbers(args.ignore, int, "--ignore"),
        args.held_out,
        at_least_one(args.resolution, "--resolution"),
        args.k,
        args.temperature,
        cache=not args.no_cache,
        progress=True,
        out=out,
    )
    return report(args, result, out)
