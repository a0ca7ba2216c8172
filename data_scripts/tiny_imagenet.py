"""Tiny-ImageNet's training pictures (200 classes of 500, 64 px) as shards with captions.

    python -m data_scripts.tiny_imagenet OUT
    python -m data_scripts.tiny_imagenet OUT --source tiny-imagenet-200.zip

Writes OUT/train-*.tar; its validation pictures are left alone.  From Stanford's CS231n; no licence is stated, and the
pictures are ImageNet's: research only.
"""

import argparse
import re
import sys
from collections.abc import Iterator

from data_scripts._class_sets import Picture, members, script

ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TRAINING = re.compile(r"(?:^|/)train/(n\d{8})/images/(n\d{8}_\d+)\.JPEG$")


def pictures(args: argparse.Namespace) -> Iterator[Picture]:
    for name, data in members(args.source, "tiny-imagenet-200/train"):
        if found := _TRAINING.search(name):
            yield Picture(found[2], found[1], data)


def main(arguments: list[str] | None = None) -> int:
    return script("Tiny-ImageNet", ADDRESS, pictures, per_class=500)[1](arguments)


if __name__ == "__main__":
    sys.exit(main())
