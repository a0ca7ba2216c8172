"""Baselines for learned features: random weights, and the pixels themselves."""

from pathlib import Path
from typing import Any

import torch

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.pixels import LabPatches, RawPixels
from mmcontrast.errors import InputError
from mmcontrast.models.bundle import BUNDLED, bundled
from mmcontrast.models.directory import untrained_from_directory
from mmcontrast.models.registry import construct


def random_encoder(name: str) -> Encoder:
    """Builds the image encoder of a model with random weights; the weights are the same on every call.

    Args:
        name: A directory, a bundled model, "timm:NAME" or "open_clip:ARCH".

    Returns:
        The encoder in evaluation mode.

    Raises:
        InputError: There is no such model.
    """
    scheme, _, rest = name.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if scheme == "timm":
            from mmcontrast.encoders.timm import TimmEncoder

            return TimmEncoder(rest.partition("@")[0]).eval()
        if scheme == "open_clip":
            from mmcontrast.encoders.openclip import OpenClipImage

            return OpenClipImage(rest.partition("/")[0]).eval()
        folder = BUNDLED / name if name in bundled() else Path(name)
        if not name or not folder.is_dir():
            raise InputError(f"random:{name}: give a directory, a bundled model, timm:NAME or open_clip:ARCH.")
        return untrained_from_directory(folder, {}).encoder.eval()


def pixel_encoder(scheme: str, stride: str, overrides: dict[str, Any]) -> Encoder:
    """Builds an encoder that returns the pixels of an image.

    Args:
        scheme: "pixels", or "lab" for patches in the Lab color space.
        stride: Side of a patch in pixels as text; empty for the default.
        overrides: Further arguments of the encoder's constructor.

    Returns:
        The encoder.

    Raises:
        InputError: The stride is not a number above 0.
    """
    if stride and not (stride.isdecimal() and int(stride)):
        raise InputError(
            f"{scheme}:{stride}: give {scheme}, or {scheme}: and the side of a patch in pixels, such as {scheme}:4."
        )
    arguments = {"stride": int(stride)} if stride else {}
    encoder = construct(RawPixels if scheme == "pixels" else LabPatches, arguments | overrides)
    assert isinstance(encoder, Encoder)
    return encoder
