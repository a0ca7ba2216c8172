"""JHMDB: videos of people with 15 joints a frame (Jhuang et al., ICCV 2013; http://jhmdb.is.tue.mpg.de).

    mmcontrast data jhmdb OUT
    mmcontrast data jhmdb OUT --archives Rename_Images.tar.gz joint_positions.zip splits.zip

Lays out OUT/Rename_Images, OUT/joint_positions and OUT/test_split{1,2,3}.txt.  For research only.
"""

import argparse
import sys
from pathlib import Path

from mmcontrast.errors import InputError

from ._download import extract, fetch, run

ADDRESS = "http://files.is.tue.mpg.de/jhmdb/"
ARCHIVES = ("Rename_Images.tar.gz", "joint_positions.zip", "splits.zip")


def test_list(splits: Path, number: int) -> list[str]:
    """Returns the test videos of a split as ACTION/VIDEO."""
    videos = []
    for file in sorted(splits.glob(f"*_test_split{number}.txt")):
        action = file.name.removesuffix(f"_test_split{number}.txt")
        rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
        videos += [f"{action}/{name.removesuffix('.avi')}" for name, use in rows if use == "2"]
    if not videos:
        raise InputError(f"{splits}: holds no ACTION_test_split{number}.txt with videos marked 2")
    return videos


def prepare(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    given = {path.name: path for path in args.archives or ()}
    for name in ARCHIVES:
        archive = given.get(name) or fetch(args.address + name, args.out / name)
        unpacked, folder = args.out / f"{name}.unpacked", args.out / name.split(".")[0]
        if folder.exists():
            continue
        extract(archive, unpacked)
        inside = unpacked / folder.name
        (inside if inside.is_dir() else unpacked).rename(folder)
        if unpacked.is_dir():
            unpacked.rmdir()
    for number in (1, 2, 3):
        videos = test_list(args.out / "splits", number)
        (args.out / f"test_split{number}.txt").write_text("".join(f"Rename_Images/{video}\n" for video in videos))
        print(f"split {number}: {len(videos)} videos", file=sys.stderr)
    print(f"mmcontrast eval keypoints --data {args.out} --keypoints {args.out}/test_split1.txt")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--archives", type=Path, nargs="+", metavar="FILE", help="archives that you have already")
    parser.add_argument("--address", default=ADDRESS, help="fetch from below this address instead")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
