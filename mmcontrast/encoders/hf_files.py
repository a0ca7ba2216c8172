"""Models and settings from folders or repositories of the transformers library."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
import transformers
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from mmcontrast.errors import InputError, summarize

# Text towers that AutoModel does not know.
_TEXT_MODELS = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}


def read_config(name: str | Path) -> PreTrainedConfig:
    """Reads config.json of a model.

    Args:
        name: A folder, or a model id.

    Returns:
        The config.

    Raises:
        InputError: There is no such model, or it needs code of its own.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(name, trust_remote_code=False)
        return config
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HfHubHTTPError) as error:
        raise InputError(_not_there(name, error)) from error


def has_text_tower(name: str | Path) -> bool:
    """Returns whether a model has both an image tower and a text tower, as CLIP and SigLIP have."""
    config = read_config(name)
    return hasattr(config, "text_config") and hasattr(config, "vision_config")


def build_model(
    name: str | Path, part: Literal["text", "vision", "whole"], pretrained: bool
) -> tuple[Any, PreTrainedConfig, bool]:
    """Builds a model of transformers in float32.

    Args:
        name: A folder, or a model id.
        part: The tower to take if the model has several, or "whole".
        pretrained: Whether to load the weights too.

    Returns:
        The network, its config, and whether its pooling layer is trained.

    Raises:
        InputError: There is no such model, or weights are missing or damaged.
    """
    whole = read_config(name)
    config = getattr(whole, f"{part}_config", whole)
    try:
        if not pretrained:
            return _from_config(config), config, True
        net, info = AutoModel.from_pretrained(
            name, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
        )
    except UnpicklingError as error:
        raise InputError(f"The weights of {name} hold more than tensors, and are not loaded.") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, HfHubHTTPError) as error:
        raise InputError(_not_there(name, error)) from error
    missing = set(info["missing_keys"])
    if untrained := sorted(key for key in missing if "pooler" not in key):
        raise InputError(f"{name} lacks weights of its {whole.model_type} model: {', '.join(untrained[:5])} ...")
    return (net if config is whole else getattr(net, f"{part}_model")), config, not missing


def read_tokenizer(name: str | Path) -> Any:
    """Reads the tokenizer of a model.

    Args:
        name: A folder, or a model id.

    Returns:
        A tokenizer of transformers.

    Raises:
        InputError: There is none.
    """
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, HfHubHTTPError) as error:
        raise InputError(f"{name} has no tokenizer that can be read: {summarize(error)}.") from error


def read_preprocessing(name: str | Path) -> dict[str, Any]:
    """Reads how a model wants its images.

    Args:
        name: A folder, or a model id.

    Returns:
        The settings in preprocessor_config.json.

    Raises:
        InputError: There is no such file, or it does not say how images are normalized.
    """
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise InputError(
            f"{name} has no preprocessor_config.json, which says how its images are normalized."
        ) from error
    if not settings.get("do_normalize", True):
        return {**settings, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    if not (settings.get("image_mean") and settings.get("image_std")):
        raise InputError(f"The preprocessor_config.json of {name} lacks image_mean and image_std.")
    return dict(settings)


def _from_config(config: PreTrainedConfig) -> nn.Module:
    if config.model_type in _TEXT_MODELS:
        model: nn.Module = getattr(transformers, _TEXT_MODELS[config.model_type])(config)
    else:
        from_config: Any = AutoModel.from_config
        model = from_config(config, dtype=torch.float32)
    return model.to(torch.float32).eval()


def _not_there(name: str | Path, error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} is not on this machine, and this is no time to fetch it: run `hf download {name}` first."
    return f"{name} is no model of transformers, or is not on this machine: {summarize(error)}."
