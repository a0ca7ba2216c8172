"""``mmcontrast eval zero-shot`` and ``mmcontrast eval retrieval``."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.methods.clip import CLIP


def add_zero_shot(subparsers) -> None:
    """Adds the ``zero-shot`` subcommand."""
    parser = subparsers.add_parser(
        "zero-shot",
        help="classification accuracy from class names",
        description="Zero-shot accuracy as JSON (top1, top5, per_class, n), and an image of the confusion matrix.",
    )
    _add_common(parser, "labeled images: a folder of class folders, or shards with KEY.cls")
    parser.add_argument("--classnames", metavar="F", help="one class name a line, or folder<TAB>name")
    parser.add_argument("--templates", default="simple", metavar="T", help="simple, openai80, or a file with {} in it")
    parser.set_defaults(run=run_zero_shot)


def add_retrieval(subparsers) -> None:
    """Adds the ``retrieval`` subcommand."""
    parser = subparsers.add_parser(
        "retrieval",
        help="recall at 1, 5, 10 between images and captions",
        description="Retrieval recall as JSON: i2t_r1, i2t_r5, i2t_r10, t2i_r1, t2i_r5, t2i_r10, n_images, n_captions.",
    )
    _add_common(parser, "images with captions: shards (KEY.jpg with KEY.txt or KEY.json), or a caption file")
    parser.set_defaults(run=run_retrieval)


def run_zero_shot(args: argparse.Namespace) -> int:
    """Prints the result and writes it with the confusion matrix; returns 0."""
    from mmcontrast.evals.zero_shot import zero_shot

    out = Path(args.out or "runs/eval-zero-shot")
    result = zero_shot(
        _load(args),
        args.data,
        args.classnames,
        args.templates,
        args.batch_size,
        cache=not args.no_cache,
        progress=True,
        confusion_png=out / "confusion.png",
    )
    return _report(args, result, out)


def run_retrieval(args: argparse.Namespace) -> int:
    """Prints the result, and writes it where asked to; returns 0."""
    from mmcontrast.evals.retrieval import retrieval

    result = retrieval(_load(args), args.data, args.batch_size, cache=not args.no_cache, progress=True)
    return _report(args, result, Path(args.out) if args.out else None)


def _add_common(parser: argparse.ArgumentParser, data: str) -> None:
    parser.add_argument("--model", default="clip-lite", metavar="M", help="model name or folder (default: %(default)s)")
    parser.add_argument("--data", required=True, metavar="PATH", help=data)
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json and images")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (default: 64)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep features on disk between runs")


def _load(args: argparse.Namespace) -> "CLIP":
    from mmcontrast.inference.device import choose_device
    from mmcontrast.methods.clip import CLIP
    from mmcontrast.models.loading import load

    if args.batch_size < 1:
        raise InputError(f"--batch-size {args.batch_size}: give 1 or more")
    device = choose_device(args.device)

    model = load(args.model)
    if not isinstance(model, CLIP):
        raise InputError(f"model {args.model} has no text tower; give a CLIP, such as clip-lite")
    return model.to(device)


def _report(args: argparse.Namespace, result: dict[str, Any], out: Path | None) -> int:
    result = {"model": args.model, "data": args.data, **result}
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 0
