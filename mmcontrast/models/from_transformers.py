"""CLIP and SigLIP models from checkpoints of transformers."""

from pathlib import Path
from typing import Any

from mmcontrast.encoders.hf import read_checkpoint
from mmcontrast.methods.clip import CLIP
from mmcontrast.models.from_open_clip import from_towers


def from_transformers(name: str | Path, **options: Any) -> CLIP:
    """Loads a CLIP or SigLIP checkpoint in the format of transformers.

    Args:
        name: A model id, or a folder.
        **options: Arguments of the method's constructor, such as ``trainable_image_layers``.

    Returns:
        A CLIP, or a SigLIP if the checkpoint has a bias, in evaluation mode.

    Raises:
        InputError: There is no such checkpoint, or it holds another kind of model.
    """
    image, text, projections, scalars = read_checkpoint(name)
    head = "linear" if projections else "none"
    dim = len(projections["image_head.weight"]) if projections else image.dim
    method = from_towers(image, text, dim, scalars, {"image_head": head, "text_head": head, **options})
    method.load_state_dict(projections, strict=False)
    return method
