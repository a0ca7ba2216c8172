"""Any convolutional network or vision transformer of timm (https://github.com/huggingface/pytorch-image-models)."""

import importlib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.errors import InputError


class TimmEncoder(Encoder):
    """A timm network without its classifier.

    The pooled face is the network's own (class token, average, attention pooling); where that has another width than
    the grid, as in MobileNetV3, it is the mean of the grid.

    Args:
        name: a name of ``timm.list_models()``.
        pretrained: fetch the weights that timm names for it.
        weights: a .safetensors or .pth file in timm's naming instead; its classifier is dropped, its position
            embeddings and first convolution are adapted to ``image_size`` and ``in_channels``.
        image_size: side of the images in pixels; None: the network's own.
        in_channels: 1 for gray, 3 for RGB.
        mean, std: normalization; None: the network's own.
        levels: strides whose features the grid joins, e.g. (8, 16): each L2-normalized, up-sampled to the finest
            (convolutional networks only).
        output_stride: dilate the last stages so that the grid keeps this stride (8 or 16, where timm offers it).
        cifar_stem: a ResNet's 7x7 convolution and pooling become one 3x3 convolution, for images of 32 to 64 pixels
            (2002.05709, appendix B.9).
        drop_path: rate of stochastic depth.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        weights: str | Path | None = None,
        image_size: int | None = None,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        levels: Sequence[int] | None = None,
        output_stride: int | None = None,
        cifar_stem: bool = False,
        drop_path: float | None = None,
    ) -> None:
        if not timm.is_model(name):
            close = ", ".join(get_close_matches(name, timm.list_models())) or "none"
            raise InputError(f"timm has no model {name!r}; see timm.list_models(). Close to it: {close}")
        net = _create(
            name,
            image_size,
            pretrained=pretrained and weights is None,
            in_chans=in_channels,
            output_stride=output_stride,
            drop_path_rate=drop_path,
        )
        config = net.pretrained_cfg
        super().__init__(
            _per_channel(mean or config["mean"], in_channels), _per_channel(std or config["std"], in_channels)
        )
        self.image_size = image_size or config["input_size"][-1]
        self.interpolation = config.get("interpolation") or "bicubic"
        self.net: Any = net
        self.tokens = hasattr(net, "num_prefix_tokens")  # a vision transformer: (B, P + h w, D)
        if weights is not None:
            _load(net, Path(weights), in_channels)
        reductions = [info["reduction"] for info in net.feature_info]
        if cifar_stem:
            if not (hasattr(net, "conv1") and isinstance(getattr(net, "maxpool", None), nn.MaxPool2d)):
                raise InputError(f"cifar_stem is for timm's ResNets, not {name!r}")
            net.conv1 = nn.Conv2d(in_channels, net.bn1.num_features, 3, padding=1, bias=False)
            net.maxpool = nn.Identity()
            reductions = [r // 4 for r in reductions]
        self.levels = self._indices(name, reductions, levels) if levels else None
        if self.levels is None:
            self.dim, self.stride = net.num_features, reductions[-1]
        else:
            self.dim = sum(net.feature_info[i]["num_chs"] for i in self.levels)
            self.stride = min(reductions[i] for i in self.levels)
            net.prune_intermediate_layers(self.levels, prune_head=True)  # what follows would get no gradient
        if not self.tokens:
            net.to(memory_format=torch.channels_last)
        self.own_pooling = self.levels is None and getattr(net, "head_hidden_size", self.dim) == self.dim

    def _indices(self, name: str, reductions: list[int], levels: Sequence[int]) -> list[int]:
        """The last feature of each wanted stride."""
        last = {} if self.tokens else {stride: i for i, stride in enumerate(reductions)}
        if unknown := set(levels) - set(last):
            raise InputError(
                f"{name!r} has no features of stride {sorted(unknown)}; it has {sorted(last) or 'one level'}"
            )
        return [last[stride] for stride in levels]

    def grid(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride))."""
        x = self._prepare(image)
        if self.levels is not None:
            features = self.net.forward_intermediates(x, indices=self.levels, intermediates_only=True, stop_early=True)
            return _join(features)
        h, w = x.shape[-2] // self.stride, x.shape[-1] // self.stride
        x = self.net.forward_features(x)
        if self.tokens:
            return x[:, self.net.num_prefix_tokens :].mT.unflatten(2, (h, w))  # (B, P + h w, D) -> (B, D, h, w)
        return x.permute(0, 3, 1, 2) if getattr(self.net, "output_fmt", "NCHW") == "NHWC" else x

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D)."""
        return self.net(self._prepare(image)) if self.own_pooling else super().forward(image)

    def for_dense_tasks(self) -> Encoder:
        """Of a convolutional network that ends at stride 32, strides 8 and 16 joined; others themselves."""
        strides = {info["reduction"] for info in self.net.feature_info}
        if self.levels is not None or self.stride <= 16 or not {8, 16} <= strides:
            return self
        own = self.init_args | {"levels": (8, 16), "weights": None, "pretrained": False}
        encoder = TimmEncoder(**own).to(self.mean.device)
        missing, _ = encoder.net.load_state_dict(self.net.state_dict(), strict=False)
        assert not missing
        return encoder

    def blocks(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> (B, D_i, h_i, w_i) of each block, as timm counts them.

        Of a ResNet the stem and four stages; of a transformer every block, each behind the network's last norm, so that
        the last one is the grid.  Where the grid has another width than the last stage (EfficientNet), it follows.
        """
        norm = {"norm": True} if self.tokens else {}
        last, features = self.net.forward_intermediates(self._prepare(image), **norm)
        return features if features[-1].shape[1] == self.net.num_features else [*features, last]

    def attention(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, heads, h, w), the last block's attention of the class token to the patches.

        Without a class token it is the mean attention of all patches.
        """
        layer: Any = getattr(self.net.blocks[-1], "attn", None) if self.tokens and hasattr(self.net, "blocks") else None
        if not hasattr(layer, "attn_drop"):
            return super().attention(image)
        x = self._prepare(image)
        weights: list[Tensor] = []
        hook = layer.attn_drop.register_forward_hook(lambda module, inputs, output: weights.append(inputs[0]))
        fused, layer.fused_attn = layer.fused_attn, False  # the fused kernel never writes the weights down
        try:
            self.net.forward_features(x)
        finally:
            layer.fused_attn = fused
            hook.remove()
        prefix = self.net.num_prefix_tokens
        rows = weights[0][:, :, :1] if getattr(self.net, "cls_token", None) is not None else weights[0][:, :, prefix:]
        size = x.shape[-2] // self.stride, x.shape[-1] // self.stride
        return rows[..., prefix:].mean(2).unflatten(2, size)  # (B, heads, queries, P + h w) -> (B, heads, h, w)

    def _prepare(self, image: Tensor) -> Tensor:
        """Normalized; padded to whole patches for a transformer, channels last (faster) for a convolutional network."""
        x = self.normalize(image)
        if not self.tokens:
            x = x.contiguous(memory_format=torch.channels_last)
        if not hasattr(self.net, "patch_embed"):
            return x  # convolutions round the grid up by themselves
        right, below = -x.shape[-1] % self.stride, -x.shape[-2] % self.stride
        return F.pad(x, (0, right, 0, below), mode="replicate") if right or below else x

    def drop_patches(self, rate: float) -> None:
        """While training, leave out a random share ``rate`` of each image's patches (FLIP, 2212.00794)."""
        drop_patches(self.net, rate)

    def layer_ids(self) -> dict[str, int]:
        """Name of each parameter -> its depth, as timm groups them."""
        if not hasattr(self.net, "group_matcher"):
            return super().layer_ids()
        ids = timm.models.group_parameters(self.net, self.net.group_matcher(coarse=False), reverse=True)
        return {f"net.{name}": depth for name, depth in ids.items()}


def drop_patches(net: Any, rate: float) -> None:
    """Give a timm vision transformer a dropout of whole patches, prefix tokens kept, position embeddings along."""
    if not hasattr(net, "patch_drop"):
        raise InputError("Patches can be dropped from timm's plain vision transformers only (vit_*, eva*, deit*)")
    rotary = getattr(net, "rope", None) is not None
    kinds = timm.layers.patch_dropout
    dropout = kinds.PatchDropoutWithIndices if rotary else kinds.PatchDropout
    net.patch_drop = dropout(rate, net.num_prefix_tokens)


def _create(name: str, image_size: int | None, **options: Any) -> Any:
    """The network, able to take any image size where its family can."""
    choices: list[dict[str, Any]] = [{"img_size": image_size, "dynamic_img_size": True}, {"img_size": image_size}, {}]
    failure: TypeError | None = None
    for sizes in choices:
        try:
            return timm.create_model(name, num_classes=0, **options, **sizes)
        except TypeError as error:
            failure = error
        except Exception as error:
            if not options["pretrained"]:
                raise
            raise InputError(
                f"The weights of timm's {name!r} could not be fetched ({error}). Give a file with weights=..., or "
                "connect to the network once to cache them"
            ) from error
    raise InputError(f"timm's {name!r} does not take these options: {failure}")


def _load(net: Any, path: Path, in_channels: int) -> None:
    if not path.is_file():
        raise InputError(f"No weights at {path}; wanted a .safetensors or .pth file")
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except (UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged, or holds more than tensors: {reason}") from error
    family = importlib.import_module(type(net).__module__)
    if hasattr(family, "checkpoint_filter_fn"):
        state = family.checkpoint_filter_fn(state, net)
    config = net.pretrained_cfg
    classifiers = config.get("classifier") or ()
    for classifier in (classifiers,) if isinstance(classifiers, str) else classifiers:
        state = {k: v for k, v in state.items() if not k.startswith(f"{classifier}.")}
    stem = f"{config.get('first_conv')}.weight"
    if stem in state and state[stem].ndim == 4 and state[stem].shape[1] != in_channels:
        state[stem] = timm.models.adapt_input_conv(in_channels, state[stem])
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path} does not hold the weights of timm's {config['architecture']!r}: {error}") from error


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    """A value per channel: RGB's for RGB, their mean for any other number of channels."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _join(features: list[Tensor]) -> Tensor:
    """[(B, D_i, h_i, w_i)] -> (B, sum D_i, h, w) at the finest size, each level of unit norm."""
    size = max((f.shape[-2:] for f in features), key=lambda s: s[0])
    unit = [F.normalize(f, dim=1) for f in features]
    return torch.cat([F.interpolate(f, size, mode="bilinear", align_corners=False) for f in unit], 1)
