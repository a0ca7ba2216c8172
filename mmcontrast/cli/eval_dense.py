"""``mmcontrast eval dense`` and ``mmcontrast eval correspondence``."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcontrast.predict.match import DescriptorMatcher

_MODELS = "model names or folders; sift, lab and random need none (default: %(default)s)"


def add_dense(subparsers) -> None:
    """Adds the ``dense`` subcommand."""
    parser = subparsers.add_parser(
        "dense",
        help="find points of posed RGB-D scenes again in other views",
        description="Points of one view matched by descriptor in another, as JSON by model: pck@0.05, pck@0.1 (of the "
        "longer side), median_px, mean_px, auc_px, median_3d_mm, closer_than_truth, and the same by class of overlap "
        "(near, middle, far). Pairs and points are the same in every run and for every model.",
    )
    _add_common(parser, "scenes: folders, .tar files, PATH[A:B] for frames A to B - 1")
    parser.add_argument("--masked", action="store_true", help="look for matches on the objects only")
    parser.add_argument("--pairs", type=int, default=20, metavar="N", help="pairs per class (default: 20)")
    parser.add_argument("--points", type=int, default=100, metavar="N", help="points per pair (default: 100)")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="bring views to this size")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of pairs and points (default: 0)")
    parser.set_defaults(run=run_dense)


def add_correspondence(subparsers) -> None:
    """Adds the ``correspondence`` subcommand."""
    parser = subparsers.add_parser(
        "correspondence",
        help="carry keypoints between images of one class",
        description="Keypoints of one image matched by descriptor in another of its class, as in PF-WILLOW. JSON by "
        "model: pck@0.05, pck@0.1 of the image's longer side, pck_box@0.05, pck_box@0.1 of the keypoints' box, "
        "per_class, pairs, points.",
    )
    _add_common(parser, "shards or folders of images with KEY.json: {keypoints: [[x, y], ...], class: ...}")
    parser.set_defaults(run=run_correspondence)


def run_dense(args: argparse.Namespace) -> int:
    """Prints the figures by model; returns 0."""
    from mmcontrast.evals.dense import draw_cdfs, evaluate_dense, table

    size = tuple(args.size) if args.size else None
    describe = {name: matcher.describe for name, matcher in _matchers(args).items()}
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"mmcontrast: {message}", file=sys.stderr)
        results = evaluate_dense(
            describe, args.data, args.masked, args.pairs, args.points, size, args.seed, progress=sys.stderr.isatty()
        )
    image = Path(args.out or "runs/eval-dense") / "cdf.png"
    draw_cdfs(results, image)
    print(f"{table(results)}\nmmcontrast: drew {image}.", file=sys.stderr)
    return _report(args, results)


def run_correspondence(args: argparse.Namespace) -> int:
    """Prints the figures by model; returns 0."""
    from mmcontrast.evals.correspondence import evaluate_correspondence

    describe = {name: matcher.describe for name, matcher in _matchers(args).items()}
    data = args.data if len(args.data) > 1 else args.data[0]
    return _report(args, evaluate_correspondence(describe, data, progress=sys.stderr.isatty()))


def _add_common(parser: argparse.ArgumentParser, data: str) -> None:
    parser.add_argument("--model", nargs="+", default=["don-lite"], metavar="M", help=_MODELS)
    parser.add_argument("--data", required=True, nargs="+", metavar="PATH", help=data)
    parser.add_argument("--resolution", type=int, metavar="S", help="short side at which networks see images")
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json and images")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")


def _matchers(args: argparse.Namespace) -> "dict[str, DescriptorMatcher]":
    from mmcontrast.encoders.pixels import LabPatches
    from mmcontrast.evals.dense_baselines import DenseSift, RandomDescriptors
    from mmcontrast.predict.match import DescriptorMatcher

    baselines: dict[str, Callable[[], Any]] = {"sift": DenseSift, "lab": LabPatches, "random": RandomDescriptors}
    models = {name: baselines[name]() if name in baselines else name for name in args.model}
    return {
        name: DescriptorMatcher(model, device=args.device, resolution=None if name in baselines else args.resolution)
        for name, model in models.items()
    }


def _report(args: argparse.Namespace, results: dict[str, dict[str, Any]]) -> int:
    """One model's figures lie at the top of the JSON, several models' under their names."""
    data = args.data if len(args.data) > 1 else args.data[0]
    text = json.dumps(
        {"data": data, **(results if len(results) > 1 else {"model": args.model[0], **results[args.model[0]]})}
    )
    print(text)
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        (Path(args.out) / "metrics.json").write_text(text + "\n")
    return 0
