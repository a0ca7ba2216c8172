"""DAVIS-2016 and DAVIS-2017: videos with object masks (https://davischallenge.org).

    mmcontrast data davis OUT --year 2017
    mmcontrast data davis OUT --year 2016 --archive DAVIS-data.zip

Lays out OUT/DAVIS/{JPEGImages,Annotations,ImageSets}.  The images are under CC BY-NC 4.0.
"""

import argparse
import sys
from pathlib import Path

from mmcontrast.data.datasets.davis import Davis
from mmcontrast.errors import InputError

from ._download import extract, fetch, run, verify

ADDRESSES = {
    "2016": "https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
    "2017": "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
    "2017-unsupervised": "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-Unsupervised-trainval-480p.zip",
}


def prepare(args: argparse.Namespace) -> None:
    if args.archive is not None:
        verify(args.archive, args.sha256)
    address = args.address or ADDRESSES[args.year]
    archive = args.archive or fetch(address, args.out / Path(address).name, args.sha256)
    target = args.out / f"davis-{args.year}"
    extract(archive, target, only="DAVIS/")
    if not (target / "DAVIS").is_dir():
        raise InputError(f"{archive}: holds no DAVIS folder; wanted an archive of davischallenge.org")
    task = "unsupervised" if args.year.endswith("unsupervised") else "semi-supervised"
    data = Davis(target, int(args.year[:4]), task=task)
    frames = sum(len(data.annotations(name)) for name in data.sequences)
    print(f"{len(data.sequences)} videos, {frames} frames", file=sys.stderr)
    print(f"mmcontrast eval davis --data {target} --year {data.year}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--year", choices=tuple(ADDRESSES), default="2017")
    parser.add_argument("--archive", type=Path, metavar="ZIP", help="an archive that you have already")
    parser.add_argument("--address", help="fetch from here instead")
    parser.add_argument("--sha256", help="of the archive")
    return run(prepare, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
