"""``mmcontrast predict zero-shot``: label images in files and folders by words."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from mmcontrast.errors import InputError
from mmcontrast.inference.result_table import Row, open_sink, writer_of


def add_zero_shot(subparsers) -> None:
    """Adds the ``zero-shot`` subcommand."""
    parser = subparsers.add_parser(
        "zero-shot",
        help="label images by words",
        description="Label images by words. One row per file: path, label, score, error.",
        epilog='example: mmcontrast predict zero-shot --labels "cat,dog" --out out.csv photos/',
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder searched at any depth")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", help='labels with commas between, such as "cat,dog"')
    labels.add_argument(
        "--labels-file", metavar="F", help="one label a line; or .json: a list, or {label: [prompt, ...]}"
    )
    parser.add_argument("--model", default="clip-lite", metavar="M", help="model name or folder (default: %(default)s)")
    parser.add_argument("--out", metavar="F", help="write .csv or .jsonl instead of a table")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="give the K likeliest labels")
    parser.add_argument("--all-scores", action="store_true", help="give the score of every label")
    parser.add_argument(
        "--templates", default="simple", metavar="T", help="simple, openai80, or a file with {} for the label"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (default: 64)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=run_zero_shot)


def run_zero_shot(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when some file could not be read."""
    if args.top < 1:
        raise InputError(f"--top {args.top}: give 1 or more")
    if args.out:
        writer_of(args.out)
    labels = read_labels(Path(args.labels_file)) if args.labels_file else [s.strip() for s in args.labels.split(",")]

    from tqdm import tqdm

    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.zero_shot import ZeroShotClassifier

    files = image_files(*args.paths)
    if not files:
        raise InputError(f"no images in {', '.join(args.paths)}")
    with ExitStack() as stack:
        classify = ZeroShotClassifier(
            args.model, labels, templates=args.templates, device=args.device, batch_size=args.batch_size
        )
        names, top = classify.labels, min(args.top, len(classify.labels))
        sink = stack.enter_context(open_sink(args.out, names if args.all_scores else [], top))
        hidden = None if args.out else True  # the table shows progress itself; None: hidden unless on a terminal
        bar = stack.enter_context(tqdm(total=len(files), unit="image", disable=hidden, leave=False))
        failed = 0
        for result in classify.stream(files):
            path = str(result.item)
            if result.value is None:
                sink(Row(path, error=(result.error or "").removeprefix(f"{path}: ")))
                failed += 1
            else:
                sink(Row(path, result.value.top(top), result.value.probabilities.tolist() if args.all_scores else []))
            bar.update()
    where = f"the error column of {args.out}" if args.out else "the table"
    if args.out:
        print(f"mmcontrast: wrote {len(files)} rows to {args.out}.", file=sys.stderr)
    if failed:
        print(f"mmcontrast: {failed} of {len(files)} files could not be read; see {where}.", file=sys.stderr)
    return 1 if failed else 0


def read_labels(file: Path) -> list[str] | dict[str, list[str]]:
    """One label a line, or JSON: a list of labels, or {label: [prompt, ...]}.

    Raises:
        InputError: where the file cannot be read or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels file {file}: cannot be read as UTF-8 text ({error})") from error
    if file.suffix.lower() != ".json":
        return [line.strip() for line in text.rstrip().splitlines()]
    try:
        labels = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"labels file {file}: no valid JSON ({error})") from error
    if not isinstance(labels, dict) and not (isinstance(labels, list) and all(isinstance(x, str) for x in labels)):
        raise InputError(f"labels file {file}: wanted a list of strings or {{label: [prompt, ...]}}")
    return labels
