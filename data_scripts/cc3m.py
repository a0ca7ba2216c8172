"""Conceptual Captions 3M: prepares the list of addresses and prints the img2dataset command that downloads them.

    mmcontrast data cc3m OUT --list Train_GCC-training.tsv

The list (https://ai.google.com/research/ConceptualCaptions/download, Sharma et al. 2018) has lines CAPTION<TAB>ADDRESS.
Some 2.2 to 2.9 of its 3.3 million images still answer; img2dataset (pip install img2dataset) packs them in shards.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmcontrast.errors import InputError

from ._download import run

SHARD = 10_000


def add_header(source: Path, target: Path) -> int:
    """Copies the list under a first line that names its columns; returns the number of images."""
    if not source.is_file():
        raise InputError(f"{source}: no such file")
    partial, count = target.with_name(target.name + ".part"), 0
    with source.open(encoding="utf-8") as lines, partial.open("w", encoding="utf-8") as out:
        out.write("caption\turl\n")
        for number, line in enumerate(lines, 1):
            caption, tab, address = line.rstrip("\n").partition("\t")
            if number == 1 and (caption, address) == ("caption", "url"):
                continue
            if not tab or not address.startswith(("http://", "https://")):
                raise InputError(f"{source}, line {number}: wanted CAPTION<TAB>ADDRESS, got {line[:60]!r}")
            out.write(f"{caption}\t{address}\n")
            count += 1
    partial.replace(target)
    return count


def prepare(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / "list.tsv"
    count = add_header(args.list, table)
    options = {
        "url_list": str(table),
        "input_format": "tsv",
        "url_col": "url",
        "caption_col": "caption",
        "output_format": "webdataset",
        "output_folder": str(args.out),
        "image_size": str(args.size),
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": "True",
        "number_sample_per_shard": str(SHARD),
        "processes_count": str(args.processes),
        "thread_count": "64",
    }
    print(f"{count:,} images listed; run this, then use the config line:", file=sys.stderr)
    print(shlex.join(["img2dataset", *[f"--{name}={value}" for name, value in options.items()]]))
    last = (count - 1) // SHARD
    pattern = f"{args.out}/{{00000..{last:05d}}}.tar" if last else f"{args.out}/00000.tar"
    print(f'train: {{class_path: ImageText, init_args: {{root: "{pattern}"}}}}')


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Conceptual Captions 3M: the img2dataset line.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--list", type=Path, required=True, metavar="TSV", help="Train_GCC-training.tsv")
    parser.add_argument("--size", type=int, default=256, help="short side of the stored images (default 256)")
    parser.add_argument("--processes", type=int, default=16)
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
