"""What a model computes from one image, and what its method makes of it, as images with captions."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.image_batches import image_batches
from mmcontrast.methods.base import Method
from mmcontrast.methods.mae import MAE
from mmcontrast.predict.base import image_encoder
from mmcontrast.predict.colorize import Colorizer
from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.viz.feature_maps import color_maps
from mmcontrast.viz.patch_pca import PatchPCA

Image = npt.NDArray[np.uint8]
Panels = list[tuple[Image, str]]  # (H, W, 3) uint8, caption


def patch_colors(model: Method | Encoder, image: Image) -> Panels:
    """Returns three principal components of the patches as red, green and blue.

    The first panel has the components of all patches, the second those of the foreground.
    """
    grid = FeatureExtractor(image_encoder(model).for_dense_tasks()).grid(image)  # (h, w, D)
    whole, foreground = (PatchPCA([grid], region)(grid) for region in ("all", "foreground"))
    return [(_to_uint8(whole), "all patches"), (_to_uint8(foreground), "patches that differ from the border")]


def attention(model: Method | Encoder, image: Image) -> Panels:
    """Returns the attention of the last block of a vision transformer: the mean over heads, then each head.

    Raises:
        InputError: The model has no attention.
    """
    maps = FeatureExtractor(model).attention(image)  # (heads, h, w)
    images = color_maps(torch.cat([maps.mean(0, keepdim=True), maps]))
    return list(zip(images, ["all heads", *(f"head {i + 1}" for i in range(len(maps)))], strict=True))


def activations(model: Method | Encoder, image: Image) -> Panels:
    """Returns a map for each block of any network, which is bright where the block is active."""
    images = color_maps(FeatureExtractor(model).activations(image))
    return [(panel, f"block {i + 1}") for i, panel in enumerate(images)]


@torch.inference_mode()
def hidden_patches(model: Method | Encoder, image: Image, fraction: float, sample_key: int) -> Panels:
    """Returns an image with hidden patches, and the same image with these patches as a masked autoencoder paints them.

    Args:
        model: A method trained by MAE.
        image: (H, W, 3) uint8.
        fraction: Fraction of the patches to hide, between 0 and 1.
        sample_key: Chooses the patches.

    Raises:
        InputError: The model is of another kind, or the fraction is out of range.
    """
    if not isinstance(model, MAE):
        raise InputError(
            f"A {type(model).__name__} does not paint hidden patches; give a model trained by MAE, such as "
            "runs/smoke-mae, which `mmcontrast fit smoke/mae --out runs/smoke-mae` trains."
        )
    if not 0 < fraction < 1:
        raise InputError(f"A fraction of {fraction:g} cannot be hidden; give one between 0 and 1.")
    seen, painted = model.reconstruct(_square(model, image), torch.tensor([sample_key]), fraction)
    return [(_to_uint8(part[0].permute(1, 2, 0)), name) for part, name in ((seen, "seen"), (painted, "painted"))]


def colors(model: Method | Encoder, image: Image) -> Panels:
    """Returns the image in gray, and with the colors that a model predicts.

    Raises:
        InputError: The model was not trained to color.
    """
    gray = np.repeat((image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None], 3, 2)
    return [(gray, "gray"), (Colorizer(model)(gray)[0].image, "colored")]


@torch.inference_mode()
def puzzle(model: Method | Encoder, image: Image, sample_key: int) -> Panels:
    """Returns what the model's own method makes of the image: a jigsaw that it solved, a hole that it filled.

    Args:
        model: A method.
        image: (H, W, 3) uint8.
        sample_key: Chooses what the method draws at random.

    Raises:
        InputError: The model is an encoder, or a method that makes no images.
    """
    if isinstance(model, Encoder) or type(model).images is Method.images:
        raise InputError(
            f"A {type(model).__name__} has no puzzle to solve; give a model trained by Jigsaw or a similar method, "
            "such as runs/smoke-jigsaw, which `mmcontrast fit smoke/jigsaw --out runs/smoke-jigsaw` trains."
        )
    images: dict[str, Any] = model.images(_square(model, image), torch.tensor([sample_key]))
    return [(_to_uint8(part[0].permute(1, 2, 0)), title) for title, part in images.items()]


def _square(model: Method, image: Image) -> torch.Tensor:
    """Returns the image as (1, 3, S, S) in [0, 1], preprocessed as in training."""
    return next(image_batches(image, model.encoder, 1)).image.to(model.encoder.mean.device).float() / 255


def _to_uint8(image: torch.Tensor) -> Image:
    array: Image = (255 * image.clamp(0, 1)).round().byte().cpu().numpy()
    return array
