"""COCO captions 2017: 118,287 + 5,000 photographs with five captions each (Lin et al. 2014, Chen et al. 2015).

    mmcontrast data coco_captions OUT --parts val
    mmcontrast data coco_captions OUT --parts train,val --archives FOLDER_WITH_THE_ZIPS

Lays out OUT/train2017, OUT/val2017 and OUT/annotations/captions_*.json.  Annotations are CC BY 4.0; the photographs
have the licenses that their records name.
"""

import argparse
import sys
from pathlib import Path

from mmcontrast.errors import InputError

from ._download import extract, fetch, run, verify

ADDRESS = "http://images.cocodataset.org/"
ARCHIVES = {
    "annotations": (
        "annotations/annotations_trainval2017.zip",
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    ),
    "train": ("zips/train2017.zip", "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
    "val": ("zips/val2017.zip", "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
}


def archive(name: str, out: Path, folder: Path | None, address: str = ADDRESS) -> Path:
    """Returns a verified archive, taken from ``folder`` or downloaded to ``out``."""
    address_path, digest = ARCHIVES[name]
    if folder is None:
        return fetch(address + address_path, out / Path(address_path).name, digest)
    path = folder / Path(address_path).name
    verify(path, digest)
    return path


def prepare(args: argparse.Namespace) -> None:
    parts = args.parts.split(",")
    if not set(parts) <= {"train", "val"}:
        raise InputError(f"--parts {args.parts}: wanted train, val or train,val")
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "annotations").exists():
        inner = extract(archive("annotations", args.out, args.archives), args.out / "captions", "annotations/captions_")
        (inner / "annotations").rename(args.out / "annotations")
        inner.rmdir()
    for part in parts:
        folder = f"{part}2017"
        if not (args.out / folder).exists():
            inner = extract(archive(part, args.out, args.archives), args.out / f"{folder}.unpacked", f"{folder}/")
            (inner / folder).rename(args.out / folder)
            inner.rmdir()
        options = f"root: {args.out}/annotations/captions_{folder}.json, images: {args.out}/{folder}"
        print(f"{part}: {{class_path: ImageText, init_args: {{{options}}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="COCO captions 2017: fetch, verify, lay out.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--parts", default="train,val", help="train, val or both (19 GB and 0.8 GB)")
    parser.add_argument("--archives", type=Path, metavar="FOLDER", help="take the zip files from here")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
