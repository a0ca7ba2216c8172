"""Computes the color bins of VideoColor by k-means of ab values over your own clips.

    mmcontrast data color_clusters VIDEOS --clusters 16

VIDEOS is what the data set Clips reads: video files, folders, tars of frame folders.  Prints the line for a config.
"""

import argparse
import sys

import torch
import torch.nn.functional as F
from tqdm import tqdm

from mmcontrast.data.datasets.clips import Clips
from mmcontrast.errors import InputError
from mmcontrast.ops.color import kmeans, rgb_to_lab

from ._download import run


def sample_colors(clips: Clips, count: int, stride: int, seed: int) -> torch.Tensor:
    """Returns the ab values (N, 2) of grid cells of ``count`` clips, at most 64 cells of each clip."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(len(clips), generator=generator)[:count].tolist()
    samples = []
    for index in tqdm(indices, unit="clip", disable=None):
        sample = clips[index]
        if "corrupt" in sample:
            print(sample["corrupt"], file=sys.stderr)
            continue
        lab = rgb_to_lab(sample["clip"][:1].float() / 255)  # (1, 3, H, W)
        cells = F.avg_pool2d(lab[:, 1:], stride).flatten(2)[0].T  # (N, 2)
        samples.append(cells[torch.randperm(len(cells), generator=generator)[:64]])
    if not samples:
        raise InputError("none of the clips could be read")
    return torch.cat(samples)


def find(args: argparse.Namespace) -> None:
    clips = Clips(args.videos, frames=2, per_video=max(1, args.count // 50))
    centers = kmeans(sample_colors(clips, args.count, args.stride, args.seed), args.clusters, seed=args.seed)
    print(f"centers: {[[round(value, 1) for value in center] for center in centers.tolist()]}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", help="video files, folders, tars of frame folders, patterns")
    parser.add_argument("--clusters", type=int, default=16, metavar="K")
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="number of clips to sample")
    parser.add_argument("--stride", type=int, default=8, metavar="S", help="pixels per cell")
    parser.add_argument("--seed", type=int, default=0)
    return run(find, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
