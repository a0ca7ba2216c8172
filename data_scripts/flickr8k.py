"""Flickr8k: 8,000 photographs with five captions each (Hodosh, Young and Hockenmaier 2013).

    python -m data_scripts.flickr8k OUT
    python -m data_scripts.flickr8k OUT --images Flickr8k_Dataset.zip --text Flickr8k_text.zip

The archives are fetched from the copy that J. Brownlee keeps, or taken from where you have them.  Lays out OUT/images,
OUT/Flickr8k.token.txt and the three official lists.  The photographs belong to their Flickr users: research only.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from data_scripts._download import extract, fetch, run, verify
from mmcontrast.errors import InputError

ADDRESS = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
HOSTS = ("objects.githubusercontent.com", "release-assets.githubusercontent.com")
LISTS = ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt")


def lay_out(out: Path, images: Path, text: Path) -> int:
    """Unpacks both archives; returns the number of pictures."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        words = extract(text, Path(folder, "text"))
        for name in ("Flickr8k.token.txt", *LISTS):
            found = next((file for file in words.rglob(name) if "__MACOSX" not in file.parts), None)
            if found is None:
                raise InputError(f"{text}: holds no {name}")
            found.replace(out / name)
        pictures = extract(images, Path(folder, "images"))
        (out / "images").mkdir(exist_ok=True)
        for file in pictures.rglob("*.jpg"):
            if "__MACOSX" not in file.parts:
                file.replace(out / "images" / file.name)
    return len(list((out / "images").glob("*.jpg")))


def prepare(args: argparse.Namespace) -> None:
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
        raise InputError(f"{len(missing)} listed pictures are not in the archive: {', '.join(missing[:3])}")
    print(f"{count} pictures, {len(listed)} listed", file=sys.stderr)
    for part, file in (("train", LISTS[0]), ("val", LISTS[1])):
        options = f"root: {args.out}/Flickr8k.token.txt, images: {args.out}/images, split: {args.out}/{file}"
        print(f"{part}: {{class_path: ImageText, init_args: {{{options}}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Flickr8k: fetch, verify, lay out.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--images", type=Path, help="Flickr8k_Dataset.zip, if you have it")
    parser.add_argument("--text", type=Path, help="Flickr8k_text.zip, if you have it")
    parser.add_argument("--images-sha256", help="checksum that the pictures' archive must have")
    parser.add_argument("--text-sha256", help="checksum that the captions' archive must have")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
