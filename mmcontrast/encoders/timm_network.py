"""Networks of timm: how they are built and changed."""

from difflib import get_close_matches
from typing import Any

from torch import nn

from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.errors import InputError, summarize


def drop_patches(net: Any, rate: float) -> None:
    """Gives a timm vision transformer a dropout of whole patches, of which prefix tokens are exempt.

    Args:
        net: The network.
        rate: Fraction of the patches that is dropped while training.

    Raises:
        InputError: It is no plain vision transformer.
    """
    if not hasattr(net, "patch_drop"):
        raise InputError("Patches can be dropped from timm's plain vision transformers only (vit_*, eva*, deit*).")
    rotary = getattr(net, "rope", None) is not None
    kinds = timm.layers.patch_dropout
    dropout = kinds.PatchDropoutWithIndices if rotary else kinds.PatchDropout
    net.patch_drop = dropout(rate, net.num_prefix_tokens)


def create_network(
    name: str, image_size: int | None, pretrained: bool, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Builds a network that takes any image size if its family can.

    Args:
        name: A name of ``timm.list_models()``.
        image_size: Side of the images in pixels; None is the network's own.
        pretrained: Whether to fetch weights.
        options: Further arguments of ``timm.create_model``.

    Returns:
        The network, and the arguments about the image size that it took.

    Raises:
        InputError: There is no such network, it does not take the options, or its weights cannot be fetched.
    """
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, timm.list_models())) or "none"
        raise InputError(f"timm has no model {name!r}; see timm.list_models(). Close to it: {close}.")
    choices: list[dict[str, Any]] = [{"img_size": image_size, "dynamic_img_size": True}, {"img_size": image_size}, {}]
    errors: list[TypeError] = []
    for sizes in choices:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **options, **sizes), sizes
        except TypeError as error:
            errors.append(error)
        except Exception as error:
            if not pretrained:
                raise
            raise InputError(
                f"The weights of timm's {name!r} cannot be fetched ({summarize(error)}). Give a file with weights=..., "
                "or connect to the network once to cache them."
            ) from error
    raise InputError(f"timm's {name!r} does not take these options: {summarize(errors[-1])}.")


def use_cifar_stem(net: Any, name: str, reductions: list[int], in_channels: int) -> list[int]:
    """Replaces the stem of a ResNet by one 3 x 3 convolution (2002.05709, appendix B.9).

    Args:
        net: The network.
        name: Its name in timm.
        reductions: Strides of its features.
        in_channels: Number of channels of the images.

    Returns:
        The new strides of its features.

    Raises:
        InputError: It is no ResNet.
    """
    if not (hasattr(net, "conv1") and isinstance(getattr(net, "maxpool", None), nn.MaxPool2d)):
        raise InputError(f"cifar_stem is for timm's ResNets, not {name!r}.")
    net.conv1 = nn.Conv2d(in_channels, net.bn1.num_features, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return [reduction // 4 for reduction in reductions]
