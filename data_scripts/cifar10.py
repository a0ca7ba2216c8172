"""CIFAR-10, bit-exact, as shards of PNG files (Krizhevsky 2009).

    mmcontrast data cifar10 OUT
    mmcontrast data cifar10 OUT --archive cifar-10-binary.tar.gz

Fetches the binary version (170 MB, no pickles) and writes OUT/train.tar, OUT/test.tar and OUT/classes.txt.
"""

import argparse
import io
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from mmcontrast.errors import InputError

from ._download import fetch, run, verify

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
RECORD = 1 + 3 * 32 * 32  # label, then the planes red, green, blue


def records(data: bytes, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the label and the image (32, 32, 3), uint8 RGB, of each record of a binary file."""
    if not data or len(data) % RECORD:
        raise InputError(f"{name}: has {len(data)} bytes, not a multiple of {RECORD}")
    for row in np.frombuffer(data, np.uint8).reshape(-1, RECORD):
        yield int(row[0]), row[1:].reshape(3, 32, 32).transpose(1, 2, 0)


def write_shard(target: Path, samples: Iterable[tuple[int, np.ndarray]]) -> int:
    """Writes a shard with KEY.png and KEY.cls members in one step; returns the number of samples."""
    partial, count = target.with_name(target.name + ".part"), 0
    with tarfile.open(partial, "w") as tar:
        for label, image in samples:
            encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
            for suffix, data in (("cls", str(label).encode()), ("png", encoded)):
                member = tarfile.TarInfo(f"{count:05d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            count += 1
    partial.replace(target)
    return count


def convert(archive: Path, out: Path) -> dict[str, int]:
    """Writes two shards and the class names from the binary archive; returns the number of samples of each shard."""
    with tarfile.open(archive, "r:*") as tar:
        files = {Path(member.name).name: member for member in tar if member.isreg()}

        def samples(names: list[str]) -> Iterator[tuple[int, np.ndarray]]:
            for name in names:
                if name not in files:
                    raise InputError(f"{archive}: holds no {name}; wanted cifar-10-binary.tar.gz")
                file = tar.extractfile(files[name])
                assert file is not None  # a regular file
                yield from records(file.read(), name)

        train = [f"data_batch_{i}.bin" for i in range(1, 6)]
        counts = {
            part: write_shard(out / f"{part}.tar", samples(names))
            for part, names in (("train", train), ("test", ["test_batch.bin"]))
        }
        meta = tar.extractfile(files["batches.meta.txt"]) if "batches.meta.txt" in files else None
        if meta is None:
            raise InputError(f"{archive}: holds no batches.meta.txt")
        (out / "classes.txt").write_text("\n".join(meta.read().decode().split()) + "\n")
    return counts


def prepare(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    if args.archive is not None:
        verify(args.archive, args.sha256)
    archive = args.archive or fetch(args.address, args.out / "cifar-10-binary.tar.gz", args.sha256)
    for part, count in convert(archive, args.out).items():
        print(f"{part}: {count} images", file=sys.stderr)
        print(f"{part}: {{class_path: Images, init_args: {{root: {args.out}/{part}.tar, size: 32}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="CIFAR-10: fetch, verify, pack.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--archive", type=Path, help="cifar-10-binary.tar.gz, if you have it")
    parser.add_argument("--address", default=ADDRESS, help="a mirror to fetch it from")
    parser.add_argument("--sha256", default=SHA256, help="its checksum")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
