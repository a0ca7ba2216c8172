"""What a model sees in one image, and what its method makes of it, as captioned images."""

from typing import Any

import numpy as np
import torch

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.image_batches import batches
from mmcontrast.methods.base import Method
from mmcontrast.methods.mae import MAE
from mmcontrast.predict.colorize import Colorizer
from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.viz.feature_maps import color_maps
from mmcontrast.viz.patch_pca import PatchPCA

Shown = list[tuple[np.ndarray, str]]  # (H, W, 3) uint8, caption


def patch_colors(model: Method | Encoder, image: np.ndarray) -> Shown:
    """Three principal components of the patches as red, green and blue: of all patches, and of the foreground."""
    grid = FeatureExtractor(_encoder(model).for_dense_tasks()).grid(image)  # (h, w, D)
    every, front = (PatchPCA([grid], region)(grid) for region in ("all", "foreground"))
    return [(_bytes(every), "all patches"), (_bytes(front), "what stands out from the border")]


def attention(model: Method | Encoder, image: np.ndarray) -> Shown:
    """Where the last block of a vision transformer looks: all heads together, and each.

    Raises:
        InputError: the model has no attention.
    """
    maps = FeatureExtractor(_encoder(model)).attention(image)  # (heads, h, w)
    images = color_maps(torch.cat([maps.mean(0, keepdim=True), maps]))
    return list(zip(images, ["all heads", *(f"head {i + 1}" for i in range(len(maps)))], strict=True))


def activations(model: Method | Encoder, image: np.ndarray) -> Shown:
    """Where each block of any network is active."""
    images = color_maps(FeatureExtractor(_encoder(model)).activations(image))
    return [(found, f"block {i + 1}") for i, found in enumerate(images)]


@torch.inference_mode()
def hidden_patches(model: Method | Encoder, photo: np.ndarray, share: float, key: int) -> Shown:
    """What a masked autoencoder makes of the rest when ``share`` of the patches is hidden.

    Raises:
        InputError: another kind of model.
    """
    if not isinstance(model, MAE):
        raise InputError(
            f"A {type(model).__name__} does not paint hidden patches; give one trained by MAE, such as runs/smoke-mae, "
            "which `mmcontrast fit -c configs/smoke/mae.yaml` trains."
        )
    if not 0 < share < 1:
        raise InputError(f"A share of {share:g} cannot be hidden; give one between 0 and 1.")
    image = _square(model, photo)
    seen, painted = model.reconstruct(image, torch.tensor([key]), share)
    return [(_bytes(part[0].permute(1, 2, 0)), name) for part, name in ((seen, "seen"), (painted, "painted"))]


def colors(model: Method | Encoder, image: np.ndarray) -> Shown:
    """The image in gray, and with the colors that a model gives it.

    Raises:
        InputError: a model that was not trained to color.
    """
    if isinstance(model, Encoder):
        raise InputError(f"A {type(model).__name__} gives no colors; give a model trained by Colorization.")
    gray = np.repeat((image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None], 3, 2)
    return [(gray, "gray"), (Colorizer(model)([gray])[0], "colored")]


@torch.inference_mode()
def puzzle(model: Method | Encoder, image: np.ndarray, key: int) -> Shown:
    """What the model's own method makes of the image: a jigsaw solved, a hole filled, ...

    Raises:
        InputError: an encoder, or a method with nothing to show.
    """
    if isinstance(model, Encoder) or type(model).images is Method.images:
        raise InputError(
            f"A {type(model).__name__} has no puzzle to solve; give one trained by Jigsaw or the like, such as "
            "runs/smoke-jigsaw, which `mmcontrast fit -c configs/smoke/jigsaw.yaml` trains."
        )
    images: dict[str, Any] = model.images(_square(model, image), torch.tensor([key]))
    return [(_bytes(part[0].permute(1, 2, 0)), title) for title, part in images.items()]


def _encoder(model: Method | Encoder) -> Encoder:
    return model.encoder if isinstance(model, Method) else model


def _square(model: Method, image: np.ndarray) -> torch.Tensor:
    """(1, 3, S, S) in [0, 1], as the model was trained."""
    return next(batches(image, model.encoder, 1)).image.to(model.encoder.mean.device).float() / 255


def _bytes(image: torch.Tensor) -> np.ndarray:
    return (255 * image.clamp(0, 1)).round().byte().cpu().numpy()
