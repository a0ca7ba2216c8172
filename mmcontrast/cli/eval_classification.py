"""``mmcontrast eval knn``, ``eval probe`` and ``eval few-label``: features of any encoder, judged by labels."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.encoders.base import Encoder
    from mmcontrast.evals.labeled import Settings

MODEL_HELP = "anything that mmcontrast.load knows, pixels, or random:NAME (default: %(default)s)"


def add_knn(subparsers) -> None:
    """Adds the ``knn`` subcommand."""
    parser = subparsers.add_parser(
        "knn",
        help="votes of the nearest training images",
        description="Accuracy of the weighted vote of the k nearest training images, by cosine, as JSON; also "
        "accuracy by k and the confusion matrix as images. lightly's setting is --k 200 --temperature 0.1.",
    )
    _add_data(parser)
    parser.add_argument("--k", metavar="K,...", help="numbers of neighbors (default: 10,20,100,200)")
    parser.add_argument("--temperature", type=float, default=0.07, metavar="T", help="of the votes (default: 0.07)")
    parser.set_defaults(run=run_knn)


def add_probe(subparsers) -> None:
    """Adds the ``probe`` subcommand."""
    parser = subparsers.add_parser(
        "probe",
        help="a linear classifier on frozen features",
        description="Accuracy of a linear classifier on frozen features, as JSON. L-BFGS logistic regression chooses C "
        "on a part of the training set; SGD runs 100 epochs at rate 0.1.",
    )
    _add_data(parser)
    parser.add_argument("--blocks", metavar="I,...", help="blocks of the encoder, or all (default: the pooled face)")
    parser.add_argument("--protocol", choices=("lbfgs", "sgd"), default="lbfgs", help="(default: lbfgs)")
    parser.add_argument("--C", metavar="C,...", help="values to choose from (default: 1e-6 to 10, two a decade)")
    parser.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="that chooses C (default: 0.2)")
    parser.add_argument("--epochs", type=int, default=100, metavar="N", help="of SGD (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the held-out part and SGD (default: 0)")
    parser.set_defaults(run=run_probe)


def add_few_label(subparsers) -> None:
    """Adds the ``few-label`` subcommand."""
    parser = subparsers.add_parser(
        "few-label",
        help="classifiers learned from a share of the labels",
        description="Accuracy from a share of the labels, frozen and fine-tuned, mean and deviation of several draws.",
    )
    _add_data(parser)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--fraction", default="0.01,0.1", metavar="F,...", help="of each class (default: %(default)s)")
    amount.add_argument("--per-class", metavar="N,...", help="numbers of labels of each class instead")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="draws (default: 3)")
    parser.add_argument("--block", type=int, metavar="I", help="one block of the encoder (default: the pooled face)")
    parser.add_argument("--fine-tune", action="store_true", help="fine-tune the encoder as well")
    parser.add_argument("--epochs", type=int, default=30, metavar="N", help="of fine-tuning (default: 30)")
    parser.add_argument("--lr", type=float, default=3e-4, metavar="X", help="of fine-tuning (default: 3e-4)")
    parser.set_defaults(run=run_few_label)


def run_knn(args: argparse.Namespace) -> int:
    """Prints the result and writes it with its images; returns 0."""
    from mmcontrast.evals.knn import knn

    ks = numbers(args.k, int, "--k") if args.k else None
    out = Path(args.out or "runs/eval-knn")
    result = knn(encoder_of(args), args.train_data, args.test_data, ks, args.temperature, _settings(args), out)
    return report(args, result, out)


def run_probe(args: argparse.Namespace) -> int:
    """Prints the result and writes it with its images; returns 0."""
    from mmcontrast.evals.linear_probe import linear_probe
    from mmcontrast.evals.logistic import SWEEP

    blocks = args.blocks if args.blocks in (None, "all") else numbers(args.blocks, int, "--blocks")
    sweep = numbers(args.C, float, "--C") if args.C else SWEEP
    out = Path(args.out or "runs/eval-probe")
    result = linear_probe(
        encoder_of(args),
        args.train_data,
        args.test_data,
        blocks,
        args.protocol,
        sweep,
        args.held_out,
        at_least_one(args.epochs, "--epochs"),
        args.seed,
        _settings(args),
        out,
    )
    return report(args, result, out)


def run_few_label(args: argparse.Namespace) -> int:
    """Prints the result and writes it with its image; returns 0."""
    from mmcontrast.evals.few_label import few_label

    out = Path(args.out or "runs/eval-few-label")
    result = few_label(
        encoder_of(args),
        args.train_data,
        args.test_data,
        numbers(args.fraction, float, "--fraction"),
        numbers(args.per_class, int, "--per-class") if args.per_class else (),
        args.seeds,
        args.block,
        args.fine_tune,
        at_least_one(args.epochs, "--epochs"),
        args.lr,
        _settings(args),
        out,
    )
    return report(args, result, out)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Arguments of all evaluations that take an encoder."""
    parser.add_argument("--model", default="clip-lite", metavar="M", help=MODEL_HELP)
    parser.add_argument("--out", metavar="DIR", help="folder for metrics.json and images (default: below runs/)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep features on disk between runs")


def _add_data(parser: argparse.ArgumentParser) -> None:
    for name in ("train", "test"):
        what = f"labeled images to {'learn from' if name == 'train' else 'measure on'}: class folders, or shards"
        parser.add_argument(f"--{name}", dest=f"{name}_data", required=True, metavar="PATH", help=what)
    add_common(parser)
    parser.add_argument("--image-size", type=int, metavar="S", help="side of the images (default: the encoder's)")
    parser.add_argument("--limit", type=int, metavar="N", help="images of each set to look at, a fixed random choice")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (default: 64)")


def encoder_of(args: argparse.Namespace) -> "Encoder":
    """The encoder that ``--model`` names, on ``--device``."""
    from mmcontrast.inference.device import choose_device
    from mmcontrast.models.loading import load_encoder

    device = choose_device(args.device)
    return load_encoder(args.model).to(device)


def _settings(args: argparse.Namespace) -> "Settings":
    from mmcontrast.evals.labeled import Settings

    for name in ("batch_size", "image_size", "limit"):
        at_least_one(getattr(args, name), f"--{name.replace('_', '-')}")
    return Settings(args.image_size, args.batch_size, args.limit, cache=not args.no_cache, progress=True)


def numbers(text: str, kind: type, flag: str) -> list[Any]:
    """Numbers with commas between.

    Raises:
        InputError: something else.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{flag} {text}: wanted numbers with commas between, such as 1,2") from None


def at_least_one(value: int | None, flag: str) -> Any:
    """The value, unless it is 0 or less."""
    if value is not None and value < 1:
        raise InputError(f"{flag} {value}: give 1 or more")
    return value


def report(args: argparse.Namespace, result: dict[str, Any], out: Path) -> int:
    """Prints a result as JSON and writes it to metrics.json; returns 0."""
    data = {"train": args.train_data, "test": args.test_data}
    text = json.dumps({"model": args.model, **data, **result}, indent=2, ensure_ascii=False)
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return 0
