"""Any convolutional network or vision transformer of timm (https://github.com/huggingface/pytorch-image-models)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.encoders.timm_grid import fit_grid, grid_rule
from mmcontrast.encoders.timm_network import create_network, drop_patches, use_cifar_stem
from mmcontrast.encoders.timm_weights import check_settings, fill, read_weights, settings_of
from mmcontrast.errors import InputError


class TimmEncoder(Encoder):
    """A timm network without its classifier.

    The pooled output is that of the network (class token, average, attention pooling). If that has another width than
    the grid, as in MobileNetV3, the pooled output is the mean of the grid.

    Args:
        name: A name of ``timm.list_models()``, with or without a tag such as ``.dino``.
        pretrained: Whether to fetch the weights that timm has for the name.
        weights: A .safetensors or .pth file with weights to use instead: of timm, or of a project whose files are
            recognized (see ``encoders.checkpoints``). Position embeddings and the first convolution are adapted to
            ``image_size`` and ``in_channels``.
        image_size: Side of the images in pixels; None is the network's own.
        in_channels: Number of channels: 1 for gray, 3 for RGB.
        mean: Mean of each channel, which is subtracted; None is the network's own.
        std: Standard deviation of each channel, by which is divided; None is the network's own.
        levels: Strides whose features the grid joins, such as (8, 16): each is L2-normalized and up-sampled to the
            finest (convolutional networks only).
        output_stride: Stride that dilated convolutions keep for the grid (8 or 16, if the network has the option).
        cifar_stem: Whether the 7 x 7 convolution and the pooling of a ResNet become one 3 x 3 convolution, for images
            of 32 to 64 pixels (2002.05709, appendix B.9).
        drop_path: Rate of stochastic depth.
        heads: Number of attention heads of a vision transformer; None is the network's own.
        antialias: Whether position embeddings are interpolated with antialiasing at other image sizes. None is False
            for the networks of DINO and DINOv2, as in their code, and True for others.

    Raises:
        InputError: There is no such network, it lacks an option, or the weights do not fit.

    >>> TimmEncoder("resnet18").stride
    32
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
        heads: int | None = None,
        antialias: bool | None = None,
    ) -> None:
        options = {"in_chans": in_channels, "output_stride": output_stride, "drop_path_rate": drop_path}
        options |= {} if heads is None else {"num_heads": heads}
        net, sizes = create_network(name, image_size, pretrained and weights is None, options)
        config = net.pretrained_cfg
        mean, std = mean or config["mean"], std or config["std"]
        super().__init__(_per_channel(mean, in_channels), _per_channel(std, in_channels))
        self.image_size = image_size or config["input_size"][-1]
        self.interpolation = config.get("interpolation") or "bicubic"
        if antialias is None:
            antialias = "dino" not in name or "dinov3" in name
        if weights is not None:
            checkpoint = read_weights(Path(weights), net)
            check_settings(checkpoint, name, net, mean, antialias, normalization_is_named=self.init_args.get("mean"))
            fill(net, checkpoint, in_channels)
        reductions = [info["reduction"] for info in net.feature_info]
        if cifar_stem:
            reductions = use_cifar_stem(net, name, reductions, in_channels)
        self._set_grid(name, net, reductions, levels, tuple((options | sizes).items()))
        if not antialias:
            _interpolate_as_dino(name, net)

    @staticmethod
    def settings_for(name: str, weights: str | Path) -> dict[str, Any]:
        """Returns the constructor arguments that a checkpoint file needs besides ``weights``.

        Args:
            name: A name of ``timm.list_models()``.
            weights: A file that the constructor takes.

        Returns:
            Values of ``mean``, ``std``, ``heads`` and ``antialias``, if the usual ones are not right.
        """
        with torch.random.fork_rng(devices=[]):
            net, _ = create_network(name, None, False, {})
        return settings_of(read_weights(Path(weights), net), net)

    def grid(self, image: Tensor) -> Tensor:
        """Computes features (B, D, ceil(H / stride), ceil(W / stride)) of images (B, C, H, W) in [0, 1]."""
        h, w = (-(-side // self.stride) for side in image.shape[-2:])
        x = self._prepare(image)
        if self.levels is None:
            return fit_grid(self.rule.read(self.net, x), h, w)
        features = self.net.forward_intermediates(x, indices=self.levels, intermediates_only=True, stop_early=True)
        return fit_grid(_join(features), h, w)

    def forward(self, image: Tensor) -> Tensor:
        """Computes one vector (B, D) for each image (B, C, H, W) in [0, 1]."""
        if not self.own_pooling:
            return super().forward(image)
        pooled: Tensor = self.net(self._prepare(image))
        return pooled

    def for_dense_tasks(self) -> Encoder:
        """Returns a network that joins strides 8 and 16 if this is convolutional and ends at stride 32, or itself."""
        strides = {info["reduction"] for info in self.net.feature_info}
        if self.levels is not None or self.stride <= 16 or not {8, 16} <= strides:
            return self
        own = self.init_args | {"levels": (8, 16), "weights": None, "pretrained": False}
        encoder = TimmEncoder(**own).to(self.mean.device)
        missing, _ = encoder.net.load_state_dict(self.net.state_dict(), strict=False)
        assert not missing
        return encoder

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Computes the features (B, D_i, h_i, w_i) of each block, as timm counts them.

        A ResNet has the stem and four stages. Of a transformer, every block is followed by the last norm of the
        network, so that the last one is the grid. If the grid has another width than the last stage (EfficientNet), it
        is added.

        Args:
            image: Images (B, C, H, W) in [0, 1].

        Returns:
            The features of each block.
        """
        norm = {"norm": True} if self.tokens else {}
        last, features = self.net.forward_intermediates(self._prepare(image), **norm)
        return features if features[-1].shape[1] == self.net.num_features else [*features, last]

    def attention(self, image: Tensor) -> Tensor:
        """Computes how much the class token attends to each patch in the last block.

        Args:
            image: Images (B, C, H, W) in [0, 1].

        Returns:
            Attention (B, heads, h, w), of sum 1 at most in each map. Without a class token it is the mean over all
            patches.

        Raises:
            InputError: The network has no attention.
        """
        layer: Any = getattr(self.net.blocks[-1], "attn", None) if self.tokens and hasattr(self.net, "blocks") else None
        if not hasattr(layer, "attn_drop"):
            return super().attention(image)
        x = self._prepare(image)
        weights: list[Tensor] = []
        hook = layer.attn_drop.register_forward_hook(lambda module, inputs, output: weights.append(inputs[0]))
        fused, layer.fused_attn = layer.fused_attn, False  # the fused kernel does not write the weights to memory
        try:
            self.net.forward_features(x)
        finally:
            layer.fused_attn = fused
            hook.remove()
        prefix = self.net.num_prefix_tokens
        rows = weights[0][:, :, :1] if getattr(self.net, "cls_token", None) is not None else weights[0][:, :, prefix:]
        h, w = x.shape[-2] // self.stride, x.shape[-1] // self.stride
        return rows[..., prefix:].mean(2).view(len(x), -1, h, w)  # (B, heads, queries, P + h w) -> (B, heads, h, w)

    def drop_patches(self, rate: float) -> None:
        """Leaves out a random fraction ``rate`` of each image's patches while training (FLIP, 2212.00794)."""
        drop_patches(self.net, rate)

    def layer_ids(self) -> dict[str, int]:
        """Returns the depth of each parameter by its name, as timm groups them."""
        if not hasattr(self.net, "group_matcher"):
            return super().layer_ids()
        ids = timm.models.group_parameters(self.net, self.net.group_matcher(coarse=False), reverse=True)
        return {f"net.{name}": depth for name, depth in ids.items()}

    def _prepare(self, image: Tensor) -> Tensor:
        """Normalizes images and brings them to a size and memory layout that suit the network."""
        x = self.rule.prepare(self.normalize(image))
        return x if self.tokens else x.contiguous(memory_format=torch.channels_last)

    def _set_grid(
        self,
        name: str,
        net: Any,
        reductions: list[int],
        levels: Sequence[int] | None,
        options: tuple[tuple[str, Any], ...],
    ) -> None:
        """Sets the attributes that describe the grid."""
        self.net: Any = net
        self.tokens = hasattr(net, "num_prefix_tokens")  # a vision transformer: (B, P + h w, D)
        self.rule = grid_rule(net, name, self.image_size, reductions[-1], options)
        self.levels = self._indices(name, reductions, levels) if levels else None
        if self.levels is None:
            self.dim, self.stride = self.rule.dim, self.rule.stride
        else:
            self.dim = sum(net.feature_info[i]["num_chs"] for i in self.levels)
            self.stride = min(reductions[i] for i in self.levels)
            net.prune_intermediate_layers(self.levels, prune_head=True)  # later layers would get no gradient
        if not self.tokens:
            net.to(memory_format=torch.channels_last)
        self.own_pooling = self.levels is None and getattr(net, "head_hidden_size", self.dim) == self.dim

    def _indices(self, name: str, reductions: list[int], levels: Sequence[int]) -> list[int]:
        """Returns the last feature of each wanted stride."""
        last = {} if self.tokens else {stride: i for i, stride in enumerate(reductions)}
        if unknown := set(levels) - set(last):
            raise InputError(
                f"{name!r} has no features of stride {sorted(unknown)}; it has {sorted(last) or 'one level'}."
            )
        return [last[stride] for stride in levels]


def _interpolate_as_dino(name: str, net: Any) -> None:
    from mmcontrast.encoders.positions import DinoVisionTransformer

    if type(net) is not timm.models.VisionTransformer or not net.dynamic_img_size or net.pos_embed is None:
        raise InputError(f"timm's {name!r} has no position embeddings to interpolate; leave out antialias.")
    net.__class__ = DinoVisionTransformer


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    """Returns a value per channel: those of RGB for RGB, their mean for any other number of channels."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _join(features: list[Tensor]) -> Tensor:
    """Joins features (B, D_i, h_i, w_i) to (B, sum D_i, h, w) at the finest size, each level of length 1."""
    size = max((f.shape[-2:] for f in features), key=lambda s: s[0])
    normalized = [F.normalize(f, dim=1) for f in features]
    return torch.cat([F.interpolate(f, size, mode="bilinear", align_corners=False) for f in normalized], 1)
