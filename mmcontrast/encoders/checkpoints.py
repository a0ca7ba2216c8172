"""Checkpoint files of other projects: what they hold is recognized from their keys.

Supported are timm, torchvision (ResNet, ViT, ConvNeXt, Swin), DINO, DINOv2, MAE, MoCo v1 to v3, SwAV, Barlow Twins,
I-JEPA, OpenAI CLIP and OpenCLIP, and the checkpoints of Lightning, lightly and solo-learn.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmcontrast.errors import InputError, summarize

# Wrappers around a state dict, the preferred ones first.
_WRAPPERS = ("teacher", "target_encoder", "state_dict_ema", "model_ema", "state_dict", "model")
# Branches of a network, the one that is evaluated first.
_PREFERRED = ("teacher.", "target_encoder.", "encoder_q.", "base_encoder.", "backbone.", "student.", "online_encoder.")
# Parts that only training needs; a checkpoint may hold them besides the network.
_TRAINING_ONLY = re.compile(
    r"^(decoder|mask_token|projection_head|prototypes|projector|predictor|dino_head|ibot_head|contrastive_head|"
    r"head|head_dist|fc|fc_norm|classifier|momentum|queue|student|pretext|logit_scale|cls_head|norm_pix)"
)
_SELF_SUPERVISED = {"DINO", "DINOv2", "MAE", "MoCo", "MoCo v3", "SwAV", "I-JEPA"}


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint file.

    Attributes:
        path: The file.
        state: Its tensors by their names in the network, without wrappers and prefixes.
        kind: The project that it is from, such as "DINO"; empty if its keys do not tell.
    """

    path: Path
    state: dict[str, Tensor]
    kind: str

    @property
    def imagenet_normalization(self) -> bool:
        """Whether images must be normalized by the mean and standard deviation of ImageNet."""
        return self.kind in _SELF_SUPERVISED

    @property
    def heads(self) -> int | None:
        """Number of attention heads if it is not that of the usual networks of this width."""
        return 12 if self.kind == "MoCo v3" and "blocks.0.attn.qkv.weight" in self.state else None

    @property
    def antialias(self) -> bool:
        """Whether position embeddings are interpolated with antialiasing, which the code of DINO does not do."""
        return self.kind not in ("DINO", "DINOv2")

    @property
    def headless(self) -> bool:
        """Whether this is a plain vision transformer without a classifier, which may be from any project."""
        plain = not self.kind and "blocks.0.norm1.weight" in self.state and "cls_token" in self.state
        return plain and not any(key.startswith("head.") for key in self.state)


def read_checkpoint(path: Path, names: Iterable[str]) -> Checkpoint:
    """Reads a checkpoint file without running anything in it.

    Args:
        path: A .safetensors file or a file of ``torch.save``.
        names: Names of the parameters of the network that the weights are for; they tell which prefix to remove.

    Returns:
        The checkpoint.

    Raises:
        InputError: There is no such file, it is damaged, or it holds more than tensors and plain values.
    """
    state, wrapper = _unwrap(path, read_file(path))
    kind = _kind(state, wrapper)
    state = _strip_prefix(state, set(names))
    for convert in _CONVERSIONS:
        state = convert(state)
    return Checkpoint(path, state, kind)


def read_file(path: Path) -> Any:
    """Reads a file of tensors without running anything in it.

    Args:
        path: A .safetensors file or a file of ``torch.save``.

    Returns:
        What the file holds, usually a dictionary.

    Raises:
        InputError: There is no such file, it is damaged, or it holds more than tensors and plain values.
    """
    if not path.is_file():
        raise InputError(f"No weights at {path}; wanted a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # the settings in DINO's and MAE's files
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise errors of many kinds
        if "TorchScript" in str(error):
            raise InputError(
                f"{path} is a TorchScript archive, which holds code and is not loaded; save the state_dict of the "
                "model as a .pth file first."
            ) from error
        raise InputError(f"{path} is damaged, or holds more than tensors: {summarize(error)}.") from error


def is_training_only(name: str) -> bool:
    """Returns whether a tensor of this name belongs to a part that only training needs, such as a head or decoder."""
    return _TRAINING_ONLY.match(name) is not None


def _unwrap(path: Path, content: Any) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of a file and the name of the entry that holds them."""
    wrapper = ""
    for _ in range(3):  # at most, as in {"model": {"state_dict": ...}}
        inner = next((key for key in _WRAPPERS if isinstance(content, Mapping) and _is_state(content.get(key))), None)
        if inner is None:
            break
        content, wrapper = content[inner], wrapper or inner
    if not _is_state(content):
        raise InputError(f"{path} holds no state dict; wanted a mapping of names to tensors.")
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}, wrapper


def _is_state(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(item, Tensor) or _is_state(item) for item in value.values())


def _kind(state: Mapping[str, Tensor], wrapper: str) -> str:
    """Returns the project that a state dict is from, or an empty string."""
    text = "\n".join(state)
    signs = (
        ("OpenAI CLIP", "input_resolution" in state and "visual.proj" in state),
        ("MoCo v3", "base_encoder." in text),
        ("MoCo", "encoder_q." in text),
        ("MAE", "decoder_pos_embed" in text),
        ("I-JEPA", wrapper == "target_encoder"),
        ("DINOv2", "mask_token" in text and ".ls1.gamma" in text),
        ("DINO", wrapper == "teacher" or "dino_head." in text or "head.last_layer.weight_g" in text),
        ("SwAV", "prototypes." in text and "projection_head." in text),
    )
    return next((kind for kind, sign in signs if sign), "")


def _strip_prefix(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """Returns the branch whose names agree best with those of the network; others are left out."""
    known = names | set(_FOREIGN_NAMES)
    scores: dict[str, int] = {"": 0}
    for key in state:
        parts = key.split(".")
        for depth in range(min(4, len(parts))):
            prefix = "".join(f"{part}." for part in parts[:depth])
            scores[prefix] = scores.get(prefix, 0) + (key[len(prefix) :] in known)

    def rank(prefix: str) -> tuple[int, int]:
        preferred = next((i for i, name in enumerate(_PREFERRED) if name in f".{prefix}"), len(_PREFERRED))
        return scores[prefix], -preferred

    best = max(scores, key=rank)
    if not scores[best]:
        return state
    return {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}


def _rename(
    state: dict[str, Tensor], rules: Iterable[tuple[str, str | Callable[[re.Match[str]], str]]]
) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def _from_dinov2_chunks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Joins the chunks of blocks in which DINOv2 trains: blocks.1.7.norm1 becomes blocks.7.norm1."""
    return _rename(state, [(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.")])


def _from_lightly(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names the children of a ResNet that lightly puts into a Sequential."""
    if not ("0.weight" in state and "1.running_mean" in state and "4.0.conv1.weight" in state):
        return state
    children = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    return _rename(state, [(r"^([014567])\.", lambda match: f"{children[match[1]]}.")])


def _from_torchvision_vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if "class_token" not in state or "conv_proj.weight" not in state:
        return state
    return _rename(
        state,
        [
            (r"^class_token$", "cls_token"),
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^encoder\.pos_embedding$", "pos_embed"),
            (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
            (r"\.ln_(\d)\.", r".norm\1."),
            (r"\.self_attention\.in_proj_", ".attn.qkv."),
            (r"\.self_attention\.out_proj\.", ".attn.proj."),
            (r"\.mlp\.(linear_1|0)\.", ".mlp.fc1."),
            (r"\.mlp\.(linear_2|3)\.", ".mlp.fc2."),
            (r"^encoder\.ln\.", "norm."),
            (r"^heads\.head\.", "head."),
        ],
    )


def _from_torchvision_convnext(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if "features.1.0.layer_scale" not in state:
        return state
    renamed = _rename(
        state,
        [
            (r"^features\.0\.", "stem."),
            (r"^features\.([246])\.", lambda match: f"stages.{int(match[1]) // 2}.downsample."),
            (r"^features\.([1357])\.(\d+)\.", lambda match: f"stages.{int(match[1]) // 2}.blocks.{match[2]}."),
            (r"\.block\.0\.", ".conv_dw."),
            (r"\.block\.2\.", ".norm."),
            (r"\.block\.3\.", ".mlp.fc1."),
            (r"\.block\.5\.", ".mlp.fc2."),
            (r"\.layer_scale$", ".gamma"),
            (r"^classifier\.0\.", "head.norm."),
            (r"^classifier\.2\.", "head.fc."),
        ],
    )
    return {key: value.flatten() if key.endswith(".gamma") else value for key, value in renamed.items()}


def _from_torchvision_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if "features.1.0.attn.relative_position_bias_table" not in state:
        return state
    renamed = _rename(
        state,
        [
            (r"^features\.0\.0\.", "patch_embed.proj."),
            (r"^features\.0\.2\.", "patch_embed.norm."),
            (r"^features\.([246])\.", lambda match: f"layers.{int(match[1]) // 2}.downsample."),
            (r"^features\.([1357])\.(\d+)\.", lambda match: f"layers.{int(match[1]) // 2}.blocks.{match[2]}."),
            (r"\.mlp\.0\.", ".mlp.fc1."),
            (r"\.mlp\.3\.", ".mlp.fc2."),
            (r"^head\.", "head.fc."),
        ],
    )
    return {key: value for key, value in renamed.items() if not key.endswith("relative_position_index")}


_CONVERSIONS = (
    _from_dinov2_chunks,
    _from_lightly,
    _from_torchvision_vit,
    _from_torchvision_convnext,
    _from_torchvision_swin,
)
# Names by which a prefix is recognized in checkpoints whose other names are not those of timm.
_FOREIGN_NAMES = (
    *(f"{i}.{name}" for i in (4, 5, 6, 7) for name in ("0.conv1.weight", "0.bn1.weight", "1.conv1.weight")),
    *("0.weight", "1.running_mean", "class_token", "conv_proj.weight", "conv_proj.bias", "encoder.pos_embedding"),
    *("visual.class_embedding", "visual.proj", "features.1.0.layer_scale", "features.0.0.weight"),
    *(f"features.{i}.0.attn.relative_position_bias_table" for i in (1, 3, 5, 7)),
    *(f"blocks.{i}.{j}.norm1.weight" for i in range(4) for j in range(40)),
)
