"""ImageNet-like class folders: Imagenette, which is downloaded, or ImageNet-1k from archives on your disk.

    mmcontrast data imagenet_folder OUT --imagenette 320
    mmcontrast data imagenet_folder OUT --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar \
        --val-labels synsets.txt --classnames names.txt

Lays out OUT/train/WNID/*.JPEG and OUT/val/WNID/*.JPEG.  ``--val-labels`` has one WNID a line, in the order of the
validation images; ``--classnames`` has lines WNID<TAB>NAME and is put beside the folders for zero-shot evaluation.
ImageNet is for research only (https://image-net.org/download).
"""

import argparse
import shutil
import sys
from pathlib import Path

from mmcontrast.data.datasets.prompt_templates import read_classnames
from mmcontrast.errors import InputError

from ._download import extract, fetch, run, verify

MD5 = {"train": "1d675b47d978889d74fa0da5fadfb00e", "val": "29b22e2961454d5413ddabcf34fc5622"}
IMAGENETTE = {
    "160": ("imagenette2-160.tgz", "e793b78cc4c9e9a4ccc0c1155377a412"),
    "320": ("imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3"),
    "full": ("imagenette2.tgz", "fe2fc210e6bb7c5664d602c3cd71e612"),
}
ADDRESS = "https://s3.amazonaws.com/fast-ai-imageclas/"
IMAGENETTE_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def unpack_train(archive: Path, target: Path) -> None:
    """Unpacks a tar that holds one tar per class into one folder per class."""
    if target.exists():
        raise InputError(f"{target}: exists already; remove it to unpack {archive} again")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for inner in sorted(extract(archive, partial).glob("*.tar")):
        extract(inner, partial / inner.stem)
        inner.unlink()
    partial.rename(target)


def unpack_val(archive: Path, target: Path, labels: Path) -> None:
    """Unpacks a tar of images into one folder per class, by a list of their classes."""
    if not labels.is_file():
        raise InputError(f"{labels}: no such file; wanted one WNID a line")
    flat = extract(archive, target.with_name(target.name + ".flat"))
    images, names = sorted(flat.iterdir()), labels.read_text().split()
    if len(images) != len(names):
        raise InputError(f"{archive} has {len(images)} images and {labels} {len(names)} labels; wanted as many")
    for image, name in zip(images, names, strict=True):
        (flat / name).mkdir(exist_ok=True)
        image.rename(flat / name / image.name)
    flat.rename(target)


def prepare(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    if args.imagenette:
        name, digest = IMAGENETTE[args.imagenette]
        archive = args.archive or fetch(args.address + name, args.out / name, args.digest or digest)
        if args.archive:
            verify(archive, args.digest or digest)
        inner = extract(archive, args.out / "unpacked")
        for part in ("train", "val"):
            next(inner.glob(f"*/{part}")).rename(args.out / part)
        shutil.rmtree(inner)
        names = IMAGENETTE_NAMES
    elif args.train and args.val and args.val_labels:
        for part, archive in (("train", args.train), ("val", args.val)):
            if not args.skip_checksum:
                verify(archive, MD5[part])
        unpack_train(args.train, args.out / "train")
        unpack_val(args.val, args.out / "val", args.val_labels)
        classnames = read_classnames(args.classnames) if args.classnames else {}
        if not isinstance(classnames, dict):
            raise InputError(f"{args.classnames}: wanted lines WNID<TAB>NAME")
        names = classnames
    else:
        raise InputError("give --imagenette SIZE, or --train, --val and --val-labels")
    for part in ("train", "val"):
        root = args.out / part
        if names:
            (root / "classes.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in names.items()))
        count = sum(1 for _ in root.rglob("*.JPEG"))
        print(f"{part}: {count} images in {sum(p.is_dir() for p in root.iterdir())} classes", file=sys.stderr)
        print(f"{part}: {{class_path: Images, init_args: {{root: {root}, size: 224}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="ImageNet-like class folders: fetch or take, verify, lay out.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--imagenette", choices=sorted(IMAGENETTE), help="fetch Imagenette of this size")
    parser.add_argument("--archive", type=Path, help="Imagenette's archive, if you have it")
    parser.add_argument("--address", default=ADDRESS, help="a mirror to fetch Imagenette from")
    parser.add_argument("--digest", help="checksum of Imagenette's archive at a mirror (MD5 or SHA-256)")
    parser.add_argument("--train", type=Path, metavar="TAR")
    parser.add_argument("--val", type=Path, metavar="TAR")
    parser.add_argument("--val-labels", type=Path, metavar="FILE")
    parser.add_argument("--classnames", type=Path, metavar="FILE")
    parser.add_argument("--skip-checksum", action="store_true", help="take archives other than ILSVRC 2012's")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
