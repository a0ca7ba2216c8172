"""CLIP and SigLIP models from checkpoints of open_clip."""

from pathlib import Path
from typing import Any

from torch import Tensor

from mmcontrast.encoders.base import Encoder, TextEncoder
from mmcontrast.encoders.openclip_checkpoint import read_checkpoint
from mmcontrast.methods.clip import CLIP
from mmcontrast.methods.siglip import SigLIP


def from_open_clip(arch: str, pretrained: str | Path, **options: Any) -> CLIP:
    """Loads an open_clip checkpoint.

    Args:
        arch: A name of ``open_clip.list_models()``, or a folder with open_clip_config.json.
        pretrained: A tag of ``open_clip.list_pretrained()`` or a checkpoint file.
        **options: Arguments of the method's constructor, such as ``trainable_image_layers``.

    Returns:
        A CLIP, or a SigLIP if the checkpoint has a bias, in evaluation mode.

    Raises:
        InputError: The architecture or the checkpoint does not exist; no weight is ever left at random.
    """
    image, text, scalars = read_checkpoint(arch, pretrained)
    return from_towers(image, text, image.dim, scalars, {"image_head": "none", "text_head": "none", **options})


def from_towers(
    image: Encoder, text: TextEncoder, dim: int, scalars: dict[str, Tensor], options: dict[str, Any]
) -> CLIP:
    """Builds a method around two trained towers.

    Args:
        image: The image tower.
        text: The text tower.
        dim: Width of the joint space.
        scalars: The trained ``log_scale``, and the ``bias`` of a SigLIP.
        options: Further arguments of the method's constructor.

    Returns:
        A CLIP, or a SigLIP if there is a bias, in evaluation mode.
    """
    method = (SigLIP if "bias" in scalars else CLIP)(image, text, dim=dim, **options)
    method.load_state_dict({k: v.reshape(()) for k, v in scalars.items()}, strict=False)
    return method.eval()
