"""Reads checkpoints of open_clip."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
from huggingface_hub.errors import HfHubHTTPError
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from mmcontrast.encoders.checkpoints import read_file
from mmcontrast.encoders.openclip import OpenClipImage, OpenClipText, read_config, schema
from mmcontrast.errors import InputError, summarize

# Entries of OpenAI's files that are no weights; open_clip's own files do not have them.
_OPENAI_SETTINGS = ("input_resolution", "context_length", "vocab_size")


def read_checkpoint(arch: str, pretrained: str | Path) -> tuple[OpenClipImage, OpenClipText, dict[str, Tensor]]:
    """Reads a checkpoint of open_clip, or a state dict of OpenAI's CLIP.

    Args:
        arch: A name of ``open_clip.list_models()``, "hf-hub:USER/REPO", or a folder with open_clip_config.json.
        pretrained: A tag of ``open_clip.list_pretrained()`` or a file; empty for the weights in the folder.

    Returns:
        The image tower, the text tower, and the scale (and the bias of a SigLIP).

    Raises:
        InputError: There are no such weights, or they are of another architecture.
    """
    arch = with_activation(arch, str(pretrained))
    read_config(arch)
    model = _create(arch, pretrained)
    preprocessing = {k: v for k, v in model.visual.preprocess_cfg.items() if k not in ("size", "mode", "fill_color")}
    image, text = OpenClipImage(arch, preprocessing), OpenClipText(arch)
    image.net.load_state_dict(model.visual.state_dict())
    text.net.load_state_dict(model.text.state_dict())
    scalars = {"log_scale": model.logit_scale.detach()}
    if model.logit_bias is not None:
        scalars["bias"] = model.logit_bias.detach()
    return image, text, scalars


def with_activation(arch: str, pretrained: str) -> str:
    """Returns the QuickGELU variant of an architecture if the weights were trained with it; open_clip only warns.

    Args:
        arch: A name of an architecture.
        pretrained: A tag, or a file; the files of OpenAI are recognized from their entries.

    Returns:
        The name of the architecture to use.
    """
    variant = f"{arch}-quickgelu"
    if variant not in open_clip.list_models():
        return arch
    if Path(pretrained).is_file():
        return variant if _openai_state(Path(pretrained)) is not None else arch
    trained_so = open_clip.get_pretrained_cfg(arch, pretrained).get("quick_gelu", False)
    return variant if trained_so else arch


def _create(arch: str, pretrained: str | Path) -> Any:
    """Builds a model of open_clip with its weights."""
    path = Path(pretrained)
    is_file = bool(str(pretrained)) and path.is_file()
    state = _openai_state(path) if is_file else None
    try:
        if state is None:
            return open_clip.create_model(
                schema(arch), pretrained=str(pretrained) or None, force_custom_text=True, require_pretrained=True
            )
        model = open_clip.create_model(schema(arch), force_custom_text=True, pretrained=None)
        model.load_state_dict({k: v.float() for k, v in convert_to_custom_text_state_dict(state).items()})
        return model
    except UnpicklingError as error:
        raise InputError(f"{pretrained} holds more than tensors, and is not loaded.") from error
    except (RuntimeError, OSError, ValueError, AssertionError, KeyError, TypeError, HfHubHTTPError) as error:
        if is_file:
            raise InputError(
                f"{pretrained} does not hold the weights of open_clip's {arch!r}: {summarize(error)}. Give the "
                "architecture that it was trained with."
            ) from error
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise InputError(
            f"No weights {str(pretrained)!r} for open_clip's {arch!r}: {summarize(error)}. Give a file, or a tag of "
            f"this architecture: {tags}."
        ) from error


def _openai_state(path: Path) -> dict[str, Tensor] | None:
    """Returns the weights in a state dict of OpenAI's CLIP; None for other files, which open_clip reads itself."""
    if path.suffix in (".npz", ".npy"):
        return None  # weights of big_vision
    content = read_file(path)
    if not isinstance(content, dict) or not set(_OPENAI_SETTINGS) & content.keys():
        return None
    return {key: value for key, value in content.items() if key not in _OPENAI_SETTINGS}
