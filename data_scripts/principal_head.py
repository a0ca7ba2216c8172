"""Writes an initial head for MAST: the principal directions of a network's features over your own clips.

    mmcontrast data principal_head configs/video/track_lite.yaml OUT.safetensors

reads the network, the head's width and the clips (the first source of a Mixture) from the config and writes the head
that keeps most of the features' squared length, so that their cosines hardly change; ``model.start`` names it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from mmcontrast.data.datasets.clips import Clips
from mmcontrast.errors import InputError
from mmcontrast.methods.frame_encoder import FrameEncoder
from mmcontrast.models.building import build

from ._download import run

CELLS = 64  # grid cells sampled from each clip


@torch.no_grad()
def principal_directions(encoder: FrameEncoder, clips: Clips, count: int) -> Tensor:
    """Returns the head (dim, D, 1, 1) whose rows are the principal directions of grid cells of ``count`` clips."""
    cells = []
    for index in torch.linspace(0, len(clips) - 1, min(count, len(clips))).int().tolist():
        grid = encoder.trunk.grid(clips[index]["clip"][:1].float() / 255)  # (1, D, h, w)
        cells.append(grid[0].flatten(1).T[:: max(1, grid[0, 0].numel() // CELLS)])  # (n, D)
    return torch.linalg.svd(torch.cat(cells), full_matrices=False).Vh[: encoder.dim, :, None, None].contiguous()


def write(args: argparse.Namespace) -> None:
    config = yaml.safe_load(args.config.read_text())
    try:
        method = config["model"]["method"]
        videos = config["data"]["train"]["init_args"]["sources"][0]["init_args"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{args.config}: no {error}; wanted MAST, trained on a Mixture with Clips first") from error
    encoder: Any = build(method)
    head = principal_directions(encoder.encoder.eval(), Clips(**videos), args.count)
    save_file({"encoder.head.weight": head}, args.out)
    print(f"{args.out}: {head.shape[0]} directions of {head.shape[1]} channels")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--count", type=int, default=400, metavar="N", help="number of clips to sample (default: %(default)s)"
    )
    return run(write, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
