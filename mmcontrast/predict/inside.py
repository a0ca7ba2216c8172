"""What a model sees in one picture, and what its method makes of it, as captioned pictures."""

from typing import Any

import numpy as np
import torch

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.methods.base import Method
from mmcontrast.methods.mae import MAE
from mmcontrast.predict.colorize import Colorizer
from mmcontrast.predict.feature_pictures import colour_maps
from mmcontrast.predict.features import FeatureExtractor
from mmcontrast.predict.images import batches
from mmcontrast.predict.patch_pca import PatchPCA

Shown = list[tuple[np.ndarray, str]]  # (H, W, 3) uint8, caption


def patch_colours(model: Method | Encoder, picture: np.ndarray) -> Shown:
    """Three principal components of the patches as red, green and blue: of all patches, and of the foreground."""
    grid = FeatureExtractor(_encoder(model).fine()).grid(picture)  # (h, w, D)
    every, front = (PatchPCA([grid], region)(grid) for region in ("all", "foreground"))
    return [(_bytes(every), "all patches"), (_bytes(front), "what stands out from the border")]


def attention(model: Method | Encoder, picture: np.ndarray) -> Shown:
    """Where the last block of a vision transformer looks: all heads together, and each.

    Raises:
        InputError: the model has no attention.
    """
    maps = FeatureExtractor(_encoder(model)).attention(picture)  # (heads, h, w)
    pictures = colour_maps(torch.cat([maps.mean(0, keepdim=True), maps]))
    return list(zip(pictures, ["all heads", *(f"head {i + 1}" for i in range(len(maps)))], strict=True))


def activations(model: Method | Encoder, picture: np.ndarray) -> Shown:
    """Where each block of any network is active."""
    pictures = colour_maps(FeatureExtractor(_encoder(model)).activations(picture))
    return [(found, f"block {i + 1}") for i, found in enumerate(pictures)]


@torch.inference_mode()
def hidden_patches(model: Method | Encoder, picture: np.ndarray, share: float, key: int) -> Shown:
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
    image = _square(model, picture)
    seen, painted = model.reconstruct(image, torch.tensor([key]), share)
    return [(_bytes(part[0].permute(1, 2, 0)), name) for part, name in ((seen, "seen"), (painted, "painted"))]


def colours(model: Method | Encoder, picture: np.ndarray) -> Shown:
    """The picture in grey, and with the colours that a model gives it.

    Raises:
        InputError: a model that was not trained to colour.
    """
    if isinstance(model, Encoder):
        raise InputError(f"A {type(model).__name__} gives no colours; give a model trained by Colorization.")
    grey = np.repeat((picture @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None], 3, 2)
    return [(grey, "grey"), (Colorizer(model)([grey])[0], "coloured")]


@torch.inference_mode()
def puzzle(model: Method | Encoder, picture: np.ndarray, key: int) -> Shown:
    """What the model's own method makes of the picture: a jigsaw solved, a hole filled, ...

    Raises:
        InputError: an encoder, or a method with nothing to show.
    """
    if isinstance(model, Encoder) or type(model).pictures is Method.pictures:
        raise InputError(
            f"A {type(model).__name__} has no puzzle to solve; give one trained by Jigsaw or the like, such as "
            "runs/smoke-jigsaw, which `mmcontrast fit -c configs/smoke/jigsaw.yaml` trains."
        )
    pictures: dict[str, Any] = model.pictures(_square(model, picture), torch.tensor([key]))
    return [(_bytes(part[0].permute(1, 2, 0)), title) for title, part in pictures.items()]


def _encoder(model: Method | Encoder) -> Encoder:
    return model.encoder if isinstance(model, Method) else model


def _square(model: Method, picture: np.ndarray) -> torch.Tensor:
    """(1, 3, S, S) in [0, 1], as the model was trained."""
    return next(batches(picture, model.encoder, 1)).image.to(model.encoder.mean.device).float() / 255


def _bytes(picture: torch.Tensor) -> np.ndarray:
    return (255 * picture.clamp(0, 1)).round().byte().cpu().numpy()
