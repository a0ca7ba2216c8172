"""Caltech-101 (Fei-Fei, Fergus and Perona 2004) as shards with captions, without its background class.

    mmcontrast data caltech101 OUT
    mmcontrast data caltech101 OUT --source caltech-101.zip --list train.txt

Writes OUT/train-*.tar, images of 160 px on the short side, at most 100 a class.  The collection is under CC BY 4.0
(https://data.caltech.edu/records/mzrjq-6wc02); its images come from the web: research only.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mmcontrast.errors import InputError

from ._class_sets import ImageRecord, members, script

ADDRESS = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
_IMAGE = re.compile(r"(?:^|/)101_ObjectCategories/(\w+)/(image_\d+)\.jpg$")


def images(args: argparse.Namespace) -> Iterator[ImageRecord]:
    listed = None
    if args.list is not None:
        if not args.list.is_file():
            raise InputError(f"{args.list}: no such file; wanted lines CLASS/image_0001.jpg")
        listed = set(args.list.read_text().split())
    for name, data in members(args.source, "101_ObjectCategories"):
        match = _IMAGE.search(name)
        if not match or match[1] == "BACKGROUND_Google":
            continue
        if listed is None or f"{match[1]}/{match[2]}.jpg" in listed:
            yield ImageRecord(f"{match[1]}-{match[2]}", match[1], data)


def main(arguments: list[str] | None = None) -> int:
    parser, program = script("Caltech-101", ADDRESS, images, per_class=100, side=160)
    parser.add_argument("--list", type=Path, help="file with the images to take, CLASS/image_0001.jpg a line")
    return program(arguments)


if __name__ == "__main__":
    sys.exit(main())
