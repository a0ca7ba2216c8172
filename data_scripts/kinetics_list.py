"""Kinetics: writes the listed videos that are on disk as a list for the dataset ``Clips``.

    mmcontrast data kinetics_list kinetics700/train.csv FOLDER --out train.txt

The list is the official CSV (label,youtube_id,time_start,time_end,split).  FOLDER holds the videos at any depth, named
ID.mp4 or ID_START_END.mp4 as the usual downloaders name them.  Videos that are missing are counted: some always are.
"""

import argparse
import csv
import sys
from pathlib import Path

from mmcontrast.data.datasets.clips import VIDEO_EXTENSIONS
from mmcontrast.errors import InputError

from ._download import run


def names(row: dict[str, str]) -> tuple[str, ...]:
    """Returns the file names, without extension, that the video of a row may have."""
    identity = row["youtube_id"]
    spans = [(row.get("time_start", ""), row.get("time_end", ""))]
    spans += [(a.zfill(6), b.zfill(6)) for a, b in spans]
    return (identity, *(f"{identity}_{a}_{b}" for a, b in spans))


def find(table: Path, folder: Path) -> tuple[list[Path], int]:
    """Returns the listed videos that the folder holds, in the order of the list, and the number of missing ones."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table}: cannot be read ({error})") from error
    if not rows or "youtube_id" not in rows[0]:
        raise InputError(f"{table}: has no column youtube_id; wanted label,youtube_id,time_start,time_end,split")
    there = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_EXTENSIONS}
    paths = [next((there[name] for name in names(row) if name in there), None) for row in rows]
    videos = list(dict.fromkeys(path for path in paths if path))
    return videos, paths.count(None)


def prepare(args: argparse.Namespace) -> None:
    videos, missing = find(args.list, args.folder)
    if not videos:
        raise InputError(f"{args.folder}: holds none of the {missing} videos of {args.list}")
    args.out.write_text("".join(f"{path.resolve()}\n" for path in videos))
    print(f"{len(videos)} videos found, {missing} missing", file=sys.stderr)
    print(f"train: {{class_path: Clips, init_args: {{root: {args.out}}}}}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, metavar="CSV")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="TXT")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
