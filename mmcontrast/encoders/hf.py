"""Encoders of the transformers library: any text model, and image towers (CLIP, SigLIP, ViT, DINOv2)."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig
from transformers.image_processing_utils import ImageProcessingMixin
from transformers.image_utils import PILImageResampling

from mmcontrast.encoders.base import Encoder, TextEncoder
from mmcontrast.encoders.text import FastTokenizer
from mmcontrast.errors import InputError

Pooling = Literal["mean", "cls", "last", "pooler"]

# Their attention ignores or was trained with the padding, so they are run without a mask.
_UNMASKED = {"clip_text_model", "siglip_text_model"}


class HFText(TextEncoder):
    """A text model of transformers with its tokenizer.

    Args:
        name: model id, or a folder with config.json and tokenizer files (and weights, if ``pretrained``).  Of a CLIP or
            SigLIP checkpoint the text tower is taken.
        pooling: "mean" over the text's tokens, the first ("cls") or the "last" of them, or the model's own "pooler".
        pretrained: load the weights too; off where others follow.
        context_length: tokens after which a text is cut; None: all that the model takes.
    """

    def __init__(
        self,
        name: str | Path,
        pooling: Pooling = "mean",
        pretrained: bool = True,
        context_length: int | None = None,
    ) -> None:
        super().__init__()
        net, config = _build(name, "text", pretrained)
        self.net: Any = net.get_encoder() if getattr(config, "is_encoder_decoder", False) else net
        if pooling != "pooler" and getattr(self.net, "pooler", None) is not None:
            self.net.pooler = None  # its parameters would never get a gradient
        self.dim, self.pooling = config.hidden_size, pooling
        self.masked = config.model_type not in _UNMASKED
        self._files = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        longest = min(self._files.model_max_length, getattr(config, "max_position_embeddings", None) or 512)
        if context_length is not None and context_length > longest:
            raise InputError(f"context_length {context_length} is more than the {longest} tokens that {name} takes")
        pad = self._files.pad_token_id if self._files.pad_token_id is not None else self._files.eos_token_id
        fixed = config.model_type == "siglip_text_model"
        self.tokenizer = FastTokenizer(self._files.backend_tokenizer, context_length or longest, pad, fixed)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, D)."""
        mask = tokens != self.tokenizer.pad  # (B, L)
        output = self.net(input_ids=tokens, attention_mask=mask.long() if self.masked else None)
        if self.pooling == "pooler":
            return output.pooler_output
        hidden = output.last_hidden_state  # (B, L, D)
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)  # (B,)
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        weight = mask.unsqueeze(2).to(hidden.dtype)  # (B, L, 1)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Write config.json and the tokenizer to ``folder/text_tower``."""
        self.net.config.save_pretrained(folder / "text_tower")
        self._files.save_pretrained(folder / "text_tower")
        return {"name": "./text_tower"}


class HFImage(Encoder):
    """The image tower of a CLIP, SigLIP, ViT or DINOv2 checkpoint in transformers' format.

    Args:
        name: model id, or a folder with config.json, preprocessor_config.json (and weights, if ``pretrained``).
        pretrained: load the weights too; off where others follow.
    """

    def __init__(self, name: str | Path, pretrained: bool = True) -> None:
        net, config = _build(name, "vision", pretrained)
        self._preprocessing = _preprocessing(name)
        super().__init__(self._preprocessing["image_mean"], self._preprocessing["image_std"])
        self.net: Any = net
        self.dim, self.stride, self.image_size = config.hidden_size, config.patch_size, config.image_size
        resample = PILImageResampling(self._preprocessing.get("resample", 3))
        self.interpolation = resample.name.lower()
        self.crop = "center" if self._preprocessing.get("do_center_crop") else "squash"

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride))."""
        x = self.normalize(image)
        x = F.pad(x, (0, -x.shape[-1] % self.stride, 0, -x.shape[-2] % self.stride), mode="replicate")
        h, w = x.shape[-2] // self.stride, x.shape[-1] // self.stride
        hidden = self._run(x).last_hidden_state[:, -h * w :]  # (B, h w, D)
        if hasattr(self.net, "post_layernorm") and self.net.config.model_type.startswith("clip"):
            hidden = self.net.post_layernorm(hidden)  # CLIP applies it to the pooled vector only
        return hidden.mT.unflatten(2, (h, w))  # (B, D, h, w)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D)."""
        output = self._run(self.normalize(image))
        return output.last_hidden_state[:, 0] if output.pooler_output is None else output.pooler_output

    def _run(self, x: Tensor) -> Any:
        other = x.shape[-2:] != (self.image_size, self.image_size)
        return self.net(pixel_values=x, interpolate_pos_encoding=True) if other else self.net(pixel_values=x)

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Write config.json and preprocessor_config.json to ``folder/image_tower``."""
        self.net.config.save_pretrained(folder / "image_tower")
        ImageProcessingMixin(**self._preprocessing).save_pretrained(folder / "image_tower")
        return {"name": "./image_tower"}


def _build(
    name: str | Path, part: Literal["text", "vision", "whole"], pretrained: bool
) -> tuple[Any, PreTrainedConfig]:
    """The whole model, or its tower of that name if it has one, in float32."""
    try:
        whole = AutoConfig.from_pretrained(name, trust_remote_code=False)
        config = getattr(whole, f"{part}_config", whole)
        if not pretrained:
            if config.model_type == "siglip_text_model":  # AutoModel does not know it
                from transformers import SiglipTextModel

                return SiglipTextModel(config).float(), config
            return AutoModel.from_config(config, dtype=torch.float32), config
        net, info = AutoModel.from_pretrained(
            name, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
        )
    except UnpicklingError as error:
        raise InputError(f"The weights of {name} hold more than tensors, and are not loaded") from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} is no model of transformers, or is not on this machine: {reason}") from error
    if missing := [key for key in info["missing_keys"] if "pooler" not in key]:
        raise InputError(f"{name} lacks weights of its {whole.model_type} model: {', '.join(sorted(missing)[:5])} ...")
    return (net if config is whole else getattr(net, f"{part}_model")), config


def _preprocessing(name: str | Path) -> dict[str, Any]:
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError as error:
        raise InputError(f"{name} has no preprocessor_config.json, which says how its images are normalized") from error
    return settings


def read_checkpoint(name: str | Path) -> tuple[HFImage, HFText, dict[str, Tensor], dict[str, Tensor]]:
    """A CLIP or SigLIP checkpoint -> its towers, its heads' weights (none for SigLIP) and its scale (and bias)."""
    model, config = _build(name, "whole", pretrained=True)
    if not (hasattr(model, "vision_model") and hasattr(model, "text_model")):
        raise InputError(f"{name} holds a {config.model_type} model; wanted one of CLIP or SigLIP")
    image, text = HFImage(name, pretrained=False), HFText(name, pooling="pooler", pretrained=False)
    image.net.load_state_dict(model.vision_model.state_dict())
    text.net.load_state_dict(model.text_model.state_dict())
    projections, scalars = {}, {"log_scale": model.logit_scale.detach()}
    if hasattr(model, "visual_projection"):
        projections["image_head.weight"] = model.visual_projection.weight.detach()
        projections["text_head.weight"] = model.text_projection.weight.detach()
    if hasattr(model, "logit_bias"):
        scalars["bias"] = model.logit_bias.detach()
    return image, text, projections, scalars
