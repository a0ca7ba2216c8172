"""Weights from checkpoint files for networks of timm."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcontrast.encoders.checkpoints import Checkpoint, is_training_only, read_checkpoint
from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.encoders.positions import resample_positions
from mmcontrast.errors import InputError, summarize

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]


def read_weights(path: Path, net: Any) -> Checkpoint:
    """Reads a checkpoint file for a network of timm.

    Args:
        path: The file.
        net: The network.

    Returns:
        The checkpoint.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    return read_checkpoint(path, [name for name, _ in net.named_parameters()])


def settings_of(checkpoint: Checkpoint, net: Any) -> dict[str, Any]:
    """Returns the constructor arguments that a checkpoint needs beyond the name of the network.

    Args:
        checkpoint: The checkpoint.
        net: The network that its name stands for.

    Returns:
        Values of ``mean``, ``std``, ``heads`` and ``antialias`` that differ from those of the network.
    """
    settings: dict[str, Any] = {}
    if checkpoint.imagenet_normalization and tuple(net.pretrained_cfg["mean"]) != IMAGENET_MEAN:
        settings |= {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    if checkpoint.heads not in (None, _heads(net)):
        settings["heads"] = checkpoint.heads
    if not checkpoint.antialias and type(net) is timm.models.VisionTransformer and net.pos_embed is not None:
        settings["antialias"] = False
    return settings


def check_settings(
    checkpoint: Checkpoint,
    name: str,
    net: Any,
    mean: Sequence[float],
    antialias: bool,
    normalization_is_named: object,
) -> None:
    """Checks that a network has the settings with which its checkpoint was trained.

    A run saves the arguments of an encoder but not its checkpoint file, so these settings must be arguments.

    Args:
        checkpoint: The checkpoint.
        name: Name of the network in timm.
        net: The network.
        mean: Mean by which images are normalized.
        antialias: Whether position embeddings are interpolated with antialiasing.
        normalization_is_named: Whether the caller gave the mean.

    Raises:
        InputError: A setting differs; the message says which one to give.
    """
    kind, path = checkpoint.kind, checkpoint.path
    if checkpoint.imagenet_normalization and tuple(mean) != IMAGENET_MEAN:
        raise InputError(
            f"{path} is a {kind} checkpoint, which wants images normalized as ImageNet's, not as those of {name}: "
            f"add mean: {list(IMAGENET_MEAN)} and std: {list(IMAGENET_STD)} to the encoder."
        )
    if checkpoint.headless and tuple(mean) != IMAGENET_MEAN and not normalization_is_named:
        raise InputError(
            f"{path} holds a vision transformer without a classifier, as DINO's and others' files do, and does not say "
            f"how images are normalized: give mean and std, or a name with its tag, such as {name.split('.')[0]}.dino."
        )
    if checkpoint.heads not in (None, _heads(net)):
        raise InputError(
            f"{path} is a {kind} checkpoint with {checkpoint.heads} attention heads, and {name} has {_heads(net)}: "
            f"add heads: {checkpoint.heads} to the encoder."
        )
    if antialias and settings_of(checkpoint, net).get("antialias") is False:
        raise InputError(
            f"{path} is a {kind} checkpoint, whose position embeddings are interpolated without antialiasing: "
            "add antialias: false to the encoder."
        )
    if kind == "OpenAI CLIP" and "quickgelu" not in name:
        raise InputError(
            f"{path} holds weights of OpenAI's CLIP, which need the activation QuickGELU, and {name} has another: "
            "give a name such as vit_base_patch32_clip_quickgelu_224."
        )


def fill(net: Any, checkpoint: Checkpoint, in_channels: int) -> None:
    """Loads a checkpoint into a network of timm; no parameter stays random.

    Args:
        net: The network, without its classifier.
        checkpoint: The checkpoint; heads and other parts for training only are left out.
        in_channels: Number of channels of the images, to which the first convolution is adapted.

    Raises:
        InputError: The checkpoint holds another network.
    """
    state, config = _adapt(net, checkpoint), net.pretrained_cfg
    stem = f"{config.get('first_conv')}.weight"
    if stem in state and state[stem].ndim == 4 and state[stem].shape[1] != in_channels:
        state[stem] = timm.models.adapt_input_conv(in_channels, state[stem])
    own = net.state_dict()
    missing = sorted(own.keys() - state.keys())
    surplus = sorted(key for key in state.keys() - own.keys() if not _may_be_left_out(key, config))
    shapes = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    problems = {"lacking": missing, "too many": surplus, "of another shape": shapes}
    texts = [f"{what}: {', '.join(keys[:3])} ({len(keys)} in all)" for what, keys in problems.items() if keys]
    if texts:
        architecture = config["architecture"]
        raise InputError(f"{checkpoint.path} does not hold the weights of timm's {architecture!r}. {'; '.join(texts)}")
    net.load_state_dict({key: state[key] for key in own})


def _adapt(net: Any, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Converts names and position embeddings, as timm does for its own files."""
    state = dict(checkpoint.state)
    positions, own = state.get("pos_embed"), getattr(net, "pos_embed", None)
    if not checkpoint.antialias and positions is not None and own is not None and positions.ndim == 3:
        prefix = 0 if net.no_embed_class else net.num_prefix_tokens
        if positions.shape[1] - prefix > 0 and positions.shape != own.shape and "mask_token" not in state:
            height, width = net.patch_embed.grid_size
            state["pos_embed"] = resample_positions(positions, height, width, prefix)
    family = importlib.import_module(type(net).__module__)
    if not hasattr(family, "checkpoint_filter_fn"):
        return state
    try:
        converted: dict[str, Tensor] = family.checkpoint_filter_fn(state, net)
    except (KeyError, RuntimeError, AttributeError, TypeError, ValueError, AssertionError, IndexError) as error:
        raise InputError(
            f"{checkpoint.path} does not hold the weights of timm's {net.pretrained_cfg['architecture']!r}: "
            f"{summarize(error)}."
        ) from error
    return dict(converted)


def _may_be_left_out(key: str, config: dict[str, Any]) -> bool:
    """Returns whether a tensor belongs to the classifier or to a part for training only."""
    classifiers = config.get("classifier") or ()
    names = (classifiers,) if isinstance(classifiers, str) else classifiers
    return is_training_only(key) or any(key.startswith(f"{name}.") for name in names)


def _heads(net: Any) -> int | None:
    """Returns the number of attention heads of a vision transformer."""
    blocks = getattr(net, "blocks", None)
    attention = getattr(blocks[0], "attn", None) if blocks is not None and len(blocks) else None
    return getattr(attention, "num_heads", None)
