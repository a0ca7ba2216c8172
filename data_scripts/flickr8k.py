"""Flickr8k: 8,000 photographs with five captions each (Hodosh, Young and Hockenmaier 2013).

    mmcontrast data flickr8k OUT
    mmcontrast data flickr8k OUT --images Flickr8k_Dataset.zip --text Flickr8k_text.zip
    mmcontrast data flickr8k OUT --size 128      shards of small images, for configs/clip/lite*.yaml

The archives are fetched from the copy that J. Brownlee keeps, or taken from where you have them.  Lays out OUT/images,
OUT/Flickr8k.token.txt and the three official lists; with --size also OUT/train-*.tar and OUT/dev.tar, images squashed
to that many pixels a side with their five captions.  The photographs belong to their Flickr users: research only.
"""

import argparse
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from PIL import Image

from mmcontrast.data.io.decode import load
from mmcontrast.errors import InputError

from ._download import extract, fetch, run, verify

ADDRESS = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
HOSTS = ("objects.githubusercontent.com", "release-assets.githubusercontent.com")
SHARD = 3000  # images
LISTS = ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt")


def lay_out(out: Path, images: Path, text: Path) -> int:
    """Unpacks both archives; returns the number of images."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        texts = extract(text, Path(folder, "text"))
        for name in ("Flickr8k.token.txt", *LISTS):
            source = next((file for file in texts.rglob(name) if "__MACOSX" not in file.parts), None)
            if source is None:
                raise InputError(f"{text}: holds no {name}")
            source.replace(out / name)
        unpacked = extract(images, Path(folder, "images"))
        (out / "images").mkdir(exist_ok=True)
        for file in unpacked.rglob("*.jpg"):
            if "__MACOSX" not in file.parts:
                file.replace(out / "images" / file.name)
    return len(list((out / "images").glob("*.jpg")))


def pack(out: Path, shard: str, names: list[str], size: int) -> None:
    """Writes OUT/shard: KEY.jpg, squashed to ``size`` pixels a side, and KEY.json with its captions."""
    captions: dict[str, list[str]] = {}
    for line in (out / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t", 1)
        captions.setdefault(name.partition("#")[0], []).append(caption)
    with tarfile.open(out / shard, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            image, key = load(out / "images" / name, size, "squash"), Path(name).stem  # (3, size, size)
            jpeg = io.BytesIO()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(jpeg, "JPEG", quality=82)
            record = json.dumps({"captions": captions[name]}).encode()
            for member, data in ((f"{key}.jpg", jpeg.getvalue()), (f"{key}.json", record)):
                entry = tarfile.TarInfo(member)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


def prepare(args: argparse.Namespace) -> None:
    if args.size is not None and args.size < 1:
        raise InputError(f"--size {args.size}: give a number of pixels")
    args.out.mkdir(parents=True, exist_ok=True)
    archives = []
    for given, name, digest in (
        (args.images, "Flickr8k_Dataset.zip", args.images_sha256),
        (args.text, "Flickr8k_text.zip", args.text_sha256),
    ):
        if given is not None:
            verify(given, digest)
        archives.append(given or fetch(ADDRESS + name, args.out / name, digest, HOSTS))
    count = lay_out(args.out, *archives)
    listed = {name for file in LISTS for name in (args.out / file).read_text().split()}
    missing = [name for name in sorted(listed) if not (args.out / "images" / name).exists()]
    if missing:
        raise InputError(f"{len(missing)} listed images are not in the archive: {', '.join(missing[:3])}")
    print(f"{count} images, {len(listed)} listed", file=sys.stderr)
    if args.size is not None:
        train, dev = (sorted((args.out / file).read_text().split()) for file in LISTS[:2])
        for number, start in enumerate(range(0, len(train), SHARD)):
            pack(args.out, f"train-{number:03d}.tar", train[start : start + SHARD], args.size)
        pack(args.out, "dev.tar", dev, args.size)
        for part, shards in (("train", "train-*.tar"), ("val", "dev.tar")):
            print(f'{part}: {{class_path: ImageText, init_args: {{root: "{args.out}/{shards}", size: {args.size}}}}}')
        return
    for part, file in (("train", LISTS[0]), ("val", LISTS[1])):
        options = f"root: {args.out}/Flickr8k.token.txt, images: {args.out}/images, split: {args.out}/{file}"
        print(f"{part}: {{class_path: ImageText, init_args: {{{options}}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Flickr8k: fetch, verify, lay out.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--images", type=Path, help="Flickr8k_Dataset.zip, if you have it")
    parser.add_argument("--text", type=Path, help="Flickr8k_text.zip, if you have it")
    parser.add_argument("--size", type=int, metavar="PX", help="also pack shards of images of this side")
    parser.add_argument("--images-sha256", help="checksum that the images' archive must have")
    parser.add_argument("--text-sha256", help="checksum that the captions' archive must have")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
