"""Crops of photographs that installed packages carry."""

from pathlib import Path

import gradio
import sklearn
import torch
from torch import Tensor

from mmcontrast.data.io.decode import load

_SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
_GRADIO = Path(gradio.__file__).parent / "media_assets" / "images"
LEARN = (_SKLEARN / "china.jpg", _SKLEARN / "flower.jpg", _GRADIO / "tower.jpg", _GRADIO / "cheetah1.jpg")
JUDGE = (_GRADIO / "lion.jpg", _GRADIO / "cheetah.jpg", _GRADIO / "groot.jpeg")


def crops(files: tuple[Path, ...], count: int, side: int = 64, within: int = 160) -> Tensor:
    """``count`` random crops of each photograph, brought to ``within`` pixels before: (N, 3, side, side) uint8."""
    generator = torch.Generator().manual_seed(0)
    squares = []
    for file in files:
        photo = load(file, within)
        for top, left in torch.randint(0, within - side, (count, 2), generator=generator).tolist():
            squares.append(photo[:, top : top + side, left : left + side])
    return torch.stack(squares)
