"""Writes class folders as shards with captions; tiny_imagenet.py and caltech101.py use it.

An image gets several captions drawn from its class's names and descriptions in class_captions.txt, for instance
"a blurry photo of a tabby cat", "a tabby, a cat", "a striped gray and brown cat".
"""

import argparse
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image

from mmcontrast.errors import InputError

from ._download import fetch, run

TEMPLATES = tuple(Path(__file__).with_name("caption_templates.txt").read_text(encoding="utf-8").splitlines())
CAPTION_FILE = Path(__file__).with_name("class_captions.txt")


class ClassText(NamedTuple):
    """The names of a class with their articles, the most specific first, and descriptions of its looks."""

    names: list[str]
    descriptions: list[str]


class ImageRecord(NamedTuple):
    """An image of the source: its key, its class and its encoded bytes."""

    key: str
    label: str
    data: bytes


def read_class_texts(path: str | Path = CAPTION_FILE) -> dict[str, ClassText]:
    """Reads lines ``class | name; name | description; description``; returns the texts by class."""
    texts = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 3 or not all(parts):
            raise InputError(f"{path}, line {number}: wanted CLASS | NAMES | DESCRIPTIONS, got {line!r}")
        texts[parts[0]] = ClassText(parts[1].split("; "), parts[2].split("; "))
    return texts


def captions(text: ClassText, count: int, rng: random.Random) -> list[str]:
    """Draws ``count`` captions: 20 % descriptions, 20 % two names of the class, the rest names in templates."""

    def one() -> str:
        kind = rng.random()
        if kind < 0.2:
            return rng.choice(text.descriptions)
        template = rng.choice(TEMPLATES)
        if kind < 0.4 and len(text.names) > 1:
            return template.format(f"{text.names[0]}, {rng.choice(text.names[1:])}")
        return template.format(rng.choice(text.names))

    return [one() for _ in range(count)]


def members(source: Path, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Yields the path and the content of every file of a source.

    Args:
        source: A folder, a .zip or .tar archive, or a git directory, whose newest commit is read.
        prefix: The folder of a git directory to read. Other sources are read completely.
    """
    git = source / ".git" if (source / ".git").is_dir() else source
    if (git / "objects").is_dir() and (git / "HEAD").is_file():
        command = ["git", f"--git-dir={git}", "archive", "--format=tar", "HEAD", *([prefix] if prefix else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # it is a pipe
            yield from _tar(process.stdout)
    elif source.is_dir():
        for folder, below, files in os.walk(source):
            below.sort()
            for path in (Path(folder, file) for file in sorted(files)):
                yield path.relative_to(source.parent).as_posix(), path.read_bytes()
    elif not source.is_file():
        raise InputError(f"{source}: no such folder or archive")
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in sorted(name for name in archive.namelist() if not name.endswith("/")):
                if name.endswith((".tar.gz", ".tar")):
                    with archive.open(name) as inner:
                        yield from _tar(inner)
                else:
                    yield name, archive.read(name)
    else:
        with source.open("rb") as file:
            yield from _tar(file)


def _tar(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                if member.isreg() and (file := tar.extractfile(member)) is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"not a complete archive ({error}); fetch it again, or check the git directory") from error


def at_most(images: Iterable[ImageRecord], per_class: int | None) -> Iterator[ImageRecord]:
    """Yields the first ``per_class`` images of each class."""
    seen: Counter[str] = Counter()
    for image in images:
        seen[image.label] += 1
        if per_class is None or seen[image.label] <= per_class:
            yield image


def shrink(data: bytes, side: int) -> bytes:
    """Returns a JPEG whose short side is at most ``side`` pixels."""
    with Image.open(io.BytesIO(data)) as image:
        if min(image.size) <= side:
            return data
        factor = side / min(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        out = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0).save(out, "JPEG", quality=90)
        return out.getvalue()


def write_shards(
    images: Iterable[ImageRecord],
    out: Path,
    texts: dict[str, ClassText],
    captions_each: int = 8,
    per_shard: int = 5000,
    side: int | None = None,
) -> Counter[str]:
    """Writes ``out/train-000.tar``, ... with KEY.jpg and KEY.json; the same input gives the same bytes.

    Returns:
        Images per class.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    remaining = iter(images)
    for number, batch in enumerate(iter(lambda: list(itertools.islice(remaining, per_shard)), [])):
        if unknown := {image.label for image in batch} - texts.keys():
            raise InputError(f"classes without a line in the caption file: {', '.join(sorted(unknown)[:5])}")
        target = out / f"train-{number:03d}.tar"
        with tarfile.open(target.with_suffix(".part"), "w") as shard:
            for image in batch:
                record = {"captions": captions(texts[image.label], captions_each, random.Random(image.key))}
                _add(shard, f"{image.key}.jpg", image.data if side is None else shrink(image.data, side))
                _add(shard, f"{image.key}.json", json.dumps(record).encode())
                counts[image.label] += 1
        target.with_suffix(".part").replace(target)
    return counts


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))


def script(
    name: str,
    address: str,
    images: Callable[[argparse.Namespace], Iterator[ImageRecord]],
    per_class: int,
    side: int | None = None,
) -> tuple[argparse.ArgumentParser, Callable[[list[str] | None], int]]:
    """Returns the argument parser and the main program of a script."""
    parser = argparse.ArgumentParser(description=f"{name}: fetch, or read what you have, and pack with captions.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--source", type=Path, help="archive, unpacked folder or git directory, if you have it")
    parser.add_argument("--address", default=address, help="a mirror to fetch it from")
    parser.add_argument("--sha256", help="checksum that the fetched archive must have")
    parser.add_argument("--per-class", type=int, default=per_class, help="images of a class at most (%(default)s)")
    parser.add_argument("--captions", type=Path, default=CAPTION_FILE, help="names and descriptions of the classes")

    def prepare(args: argparse.Namespace) -> None:
        texts = read_class_texts(args.captions)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.source is None:
            args.source = fetch(args.address, args.out / args.address.rpartition("/")[2], args.sha256)
        counts = write_shards(at_most(images(args), args.per_class), args.out, texts, side=side)
        if not counts:
            raise InputError(f"{args.source}: holds no training images of {name}")
        print(f"{sum(counts.values())} images of {len(counts)} classes", file=sys.stderr)
        print(f"train: {{class_path: ImageText, init_args: {{root: '{args.out}/train-*.tar'}}}}")

    return parser, lambda arguments: run(prepare, parser, arguments)
