"""``mmcontrast eval davis`` and ``mmcontrast eval keypoints``."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.cli.predict_track import add_propagation
from mmcontrast.cli.propagation import propagator
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.data.datasets.davis import Task

_MODELS = "model name or folder; lab, flow, identity: the floors"


def add_davis(subparsers) -> None:
    """Adds the ``davis`` subcommand."""
    parser = subparsers.add_parser(
        "davis",
        help="video object segmentation: J and F",
        description="Propagate the first mask of each video and score as DAVIS does; JSON with J, F, J&F, per_sequence "
        "and seconds_per_frame (CPU time).",
        epilog=f"--model: {_MODELS}",
    )
    parser.add_argument("--data", required=True, metavar="ROOT", help="the DAVIS folder, 2016 or 2017")
    parser.add_argument("--year", type=int, choices=(2016, 2017), help="(default: 2017 where ImageSets/2017 exists)")
    parser.add_argument("--split", metavar="S", help="a list of ImageSets, such as val (default: val, else all videos)")
    parser.add_argument("--sequences", metavar="A,B", help="only these videos")
    parser.add_argument("--unsupervised", action="store_true", help="the unsupervised task of 2017, with --masks")
    parser.add_argument("--masks", metavar="DIR", help="score results in DIR/VIDEO/00000.png instead of a model")
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json, curves.png and the masks of a model")
    add_propagation(parser)
    parser.set_defaults(run=run_davis)


def add_keypoints(subparsers) -> None:
    """Adds the ``keypoints`` subcommand."""
    parser = subparsers.add_parser(
        "keypoints",
        help="tracked joints: PCK",
        description="Propagate the joints of each video's first frame; JSON with pck@0.1, pck@0.2 and n.",
        epilog=f"--model: {_MODELS}",
    )
    parser.add_argument("--data", required=True, metavar="ROOT", help="the folder with DAVIS, or JHMDB's")
    parser.add_argument("--keypoints", required=True, metavar="F", help="BADJA's .json, or a JHMDB split list (.txt)")
    add_propagation(parser)
    parser.set_defaults(run=run_keypoints)


def run_davis(args: argparse.Namespace) -> int:
    """Prints JSON on stdout and a table on stderr; returns 0."""
    from mmcontrast.data.datasets.davis import Davis
    from mmcontrast.evals.davis import evaluate

    if args.unsupervised and not args.masks:
        raise InputError("--unsupervised scores results: give --masks DIR")
    task: Task = "unsupervised" if args.unsupervised else "semi-supervised"
    names = [name.strip() for name in args.sequences.split(",")] if args.sequences else None
    data = Davis(args.data, args.year, args.split, names, task)
    out = Path(args.out) if args.out else None
    source = args.masks or _tracker(args)
    report = evaluate(data, source, save=out / "masks" if out and not args.masks else None, progress=True)
    print(report.table(), file=sys.stderr)
    if out:
        from mmcontrast.viz.davis_curves import draw_curves

        draw_curves(report.videos, out / "curves.png")
    return _print({"model": args.masks or args.model, "data": args.data, **report.as_dict()}, out)


def run_keypoints(args: argparse.Namespace) -> int:
    """Prints JSON on stdout; returns 0."""
    from mmcontrast.data.datasets.keypoints import read_keypoints
    from mmcontrast.evals.pck import evaluate_keypoints

    videos = read_keypoints(args.data, args.keypoints)
    result = evaluate_keypoints(videos, _tracker(args), progress=True)
    return _print({"model": args.model, "data": args.data, **result}, None)


def _tracker(args: argparse.Namespace) -> Any:
    from mmcontrast.predict.baselines import FlowTracker, IdentityTracker

    floors = {"flow": FlowTracker, "identity": IdentityTracker}
    return (
        floors[args.model]()
        if args.model in floors
        else propagator(
            args.model,
            args.preset,
            args.context,
            args.topk,
            args.radius,
            args.temperature,
            args.resolution,
            "float32",
            args.device,
        )
    )


def _print(result: dict[str, Any], out: Path | None) -> int:
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 0
