"""Image encoders of the transformers library."""

import inspect
from math import isqrt
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.image_utils import PILImageResampling

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.hf_files import build_model, read_preprocessing
from mmcontrast.errors import InputError
from mmcontrast.ops.patches import patchify

_FIXED_SIZE = {"aimv2_vision_model", "levit"}  # their positions cannot be interpolated
_MAX_PREFIX = 16  # class and register tokens before the patches


class HFImage(Encoder):
    """An image model of transformers: CLIP, SigLIP, DINOv2, DINOv3, ViT, MAE, Swin, ConvNeXt, Hiera and others.

    The pooled output is the model's own; without one it is the class token, or else the mean of the grid.

    Args:
        name: A folder with config.json, preprocessor_config.json and weights, or a model id. Of a CLIP or SigLIP model
            the image tower is used.
        pretrained: Whether to load the weights; switch it off if others follow.
        pooler: Whether to use the pooling layer of the model. It is left out if the checkpoint has no weights for it.

    Raises:
        InputError: There is no such model, or it makes no grid of features.
    """

    def __init__(self, name: str | Path, pretrained: bool = True, pooler: bool = True) -> None:
        net, config, trained = build_model(name, "vision", pretrained)
        self._preprocessing = read_preprocessing(name)
        super().__init__(self._preprocessing["image_mean"], self._preprocessing["image_std"])
        if hasattr(net, "pooler") and not (pooler and trained):
            net.pooler = None
        if config.model_type == "vit_mae":
            net.config.mask_ratio = 0.0  # all patches are seen, as when it is fine-tuned
        self.net: Any = net
        self._native = _native_size(config, self._preprocessing)
        self.image_size = _wanted_size(self._preprocessing, self._native)
        self.interpolation = PILImageResampling(self._preprocessing.get("resample", 3)).name.lower()
        self.crop = "center" if self._preprocessing.get("do_center_crop") else "squash"
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(net.forward).parameters
        self.dim, self.stride = self._shape(name, config)

    def grid(self, image: Tensor) -> Tensor:
        """Computes features of cells, (B, D, ceil(H / stride), ceil(W / stride)), of images (B, 3, H, W) in [0, 1]."""
        x = self.normalize(image)
        if self.net.config.model_type in _FIXED_SIZE:
            return self._resampled_grid(x)
        x = F.pad(x, (0, -x.shape[-1] % self.stride, 0, -x.shape[-2] % self.stride), mode="replicate")
        return self._cells(self._run(x).last_hidden_state, x.shape[-2] // self.stride, x.shape[-1] // self.stride)

    def forward(self, image: Tensor) -> Tensor:
        """Computes one vector (B, D) for each image (B, 3, H, W) in [0, 1]."""
        x = self.normalize(image)
        if self.net.config.model_type in _FIXED_SIZE and x.shape[-2:] != (self._native, self._native):
            x = F.interpolate(x, (self._native, self._native), mode="bilinear", antialias=True)
        output = self._run(x)
        hidden: Tensor = output.last_hidden_state
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)  # (B, D, 1, 1) of a ResNet
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self._has_class_token() else hidden.mean(1)

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes config.json and preprocessor_config.json to ``folder/image_tower``."""
        self.net.config.save_pretrained(folder / "image_tower")
        processor: Any = ImageProcessingMixin
        processor(**self._preprocessing).save_pretrained(folder / "image_tower")
        return {"name": "./image_tower", "pooler": getattr(self.net, "pooler", True) is not None}

    def _run(self, x: Tensor) -> Any:
        """Runs the network on normalized images."""
        kind = self.net.config.model_type
        if kind == "siglip2_vision_model":
            return self._run_naflex(x)
        options: dict[str, Any] = {}
        if kind == "vit_mae":  # it shuffles its patches by this noise
            patches = (x.shape[-2] // self.stride) * (x.shape[-1] // self.stride)
            options["noise"] = torch.arange(patches, device=x.device).float().expand(len(x), -1)
        if self._interpolates and x.shape[-2:] != (self._native, self._native):
            options["interpolate_pos_encoding"] = True
        return self.net(pixel_values=x, **options)

    def _run_naflex(self, x: Tensor) -> Any:
        """Runs SigLIP 2 NaFlex, which takes rows of patches of images of any shape."""
        side = self.net.config.patch_size
        x = F.pad(x, (0, -x.shape[-1] % side, 0, -x.shape[-2] % side), mode="replicate")
        patches = patchify(x, side)  # (B, N, side * side * 3)
        shape = x.new_tensor([x.shape[-2] // side, x.shape[-1] // side], dtype=torch.int64).expand(len(x), 2)
        mask = torch.ones(patches.shape[:2], dtype=torch.int64, device=x.device)
        return self.net(pixel_values=patches, pixel_attention_mask=mask, spatial_shapes=shape)

    def _resampled_grid(self, x: Tensor) -> Tensor:
        """Computes the grid at the only size that the network takes, and resamples it."""
        size = [-(-side // self.stride) for side in x.shape[-2:]]
        x = F.interpolate(x, (self._native, self._native), mode="bilinear", antialias=True)
        side = -(-self._native // self.stride)
        cells = self._cells(self._run(x).last_hidden_state, side, side)
        return F.interpolate(cells, size, mode="bilinear", align_corners=False)

    def _cells(self, hidden: Tensor, h: int, w: int) -> Tensor:
        """Returns hidden states, (B, P + h w, D) or (B, D, h, w), as a grid."""
        if hidden.ndim == 4:
            return hidden
        prefix = hidden.shape[1] - h * w
        if not 0 <= prefix <= _MAX_PREFIX:
            raise InputError(
                f"{self.net.config.model_type} makes {hidden.shape[1]} tokens of {h} x {w} cells; it has no grid."
            )
        hidden = hidden[:, prefix:]
        if hasattr(self.net, "post_layernorm") and self.net.config.model_type.startswith("clip"):
            hidden = self.net.post_layernorm(hidden)  # CLIP applies it to the pooled vector only
        return hidden.mT.reshape(len(hidden), -1, h, w)

    def _shape(self, name: str | Path, config: PreTrainedConfig) -> tuple[int, int]:
        """Returns the width and the stride of the grid; hierarchical networks are run once to see them."""
        patch = getattr(config, "patch_size", None)
        if isinstance(patch, int) and not hasattr(config, "depths") and not getattr(config, "hidden_sizes", None):
            return config.hidden_size, patch
        training = self.net.training
        with torch.no_grad():
            hidden = self._run_once(name)
        self.net.train(training)
        if hidden.ndim == 4:
            return hidden.shape[1], -(-self._native // hidden.shape[-1])
        for prefix in range(_MAX_PREFIX + 1):
            side = isqrt(max(hidden.shape[1] - prefix, 1))
            if side**2 == hidden.shape[1] - prefix:
                return hidden.shape[2], -(-self._native // side)
        raise InputError(f"{name} is a {config.model_type} model, whose {hidden.shape[1]} tokens are no square grid.")

    def _run_once(self, name: str | Path) -> Tensor:
        try:
            hidden = self.net.eval()(pixel_values=torch.zeros(1, 3, self._native, self._native)).last_hidden_state
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            kind = self.net.config.model_type
            raise InputError(f"{name} is a {kind} model; wanted one that makes features of images.") from error
        assert isinstance(hidden, Tensor)
        return hidden

    def _has_class_token(self) -> bool:
        return any(name.endswith("cls_token") for name, _ in self.net.named_parameters())


def _native_size(config: PreTrainedConfig, preprocessing: dict[str, Any]) -> int:
    """Returns the side of the images that the position embeddings are for."""
    size = getattr(config, "image_size", None)
    if size is None:
        if getattr(config, "num_patches", None) and isinstance(getattr(config, "patch_size", None), int):
            return isqrt(config.num_patches) * int(config.patch_size)
        return _wanted_size(preprocessing, 224)
    return int(size[0]) if isinstance(size, list | tuple) else int(size)


def _wanted_size(preprocessing: dict[str, Any], default: int) -> int:
    """Returns the side of the images after preprocessing."""
    size = preprocessing.get("crop_size") if preprocessing.get("do_center_crop") else preprocessing.get("size")
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    return int(size) if isinstance(size, int | float) else default
