"""Tiny-ImageNet's training images (200 classes of 500, 64 px) as shards with captions.

    mmcontrast data tiny_imagenet OUT
    mmcontrast data tiny_imagenet OUT --source tiny-imagenet-200.zip

Writes OUT/train-*.tar; its validation images are left alone.  From Stanford's CS231n; no license is stated, and the
images are ImageNet's: research only.
"""

import argparse
import re
import sys
from collections.abc import Iterator

from ._class_sets import ImageRecord, members, script

ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TRAINING = re.compile(r"(?:^|/)train/(n\d{8})/images/(n\d{8}_\d+)\.JPEG$")


def images(args: argparse.Namespace) -> Iterator[ImageRecord]:
    for name, data in members(args.source, "tiny-imagenet-200/train"):
        if match := _TRAINING.search(name):
            yield ImageRecord(match[2], match[1], data)


def main(arguments: list[str] | None = None) -> int:
    return script("Tiny-ImageNet", ADDRESS, images, per_class=500)[1](arguments)


if __name__ == "__main__":
    sys.exit(main())
