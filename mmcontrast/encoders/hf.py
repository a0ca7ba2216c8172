"""Text encoders of the transformers library, and its checkpoints with two towers."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mmcontrast.encoders.base import TextEncoder
from mmcontrast.encoders.hf_files import build_model, read_tokenizer
from mmcontrast.encoders.hf_image import HFImage
from mmcontrast.encoders.text import FastTokenizer
from mmcontrast.errors import InputError

Pooling = Literal["mean", "cls", "last", "pooler"]

# These towers ignore the padding or were trained with it, so they are run without a mask.
_UNMASKED = {"clip_text_model", "siglip_text_model", "siglip2_text_model"}
# These towers were trained with texts that are padded to the whole context.
_FIXED_LENGTH = {"siglip_text_model", "siglip2_text_model"}


class HFText(TextEncoder):
    """A text model of transformers with its tokenizer.

    Args:
        name: A folder with config.json, tokenizer files and weights, or a model id. Of a CLIP or SigLIP model the text
            tower is used.
        pooling: How the tokens become one vector: "mean" over the tokens of the text, the first token ("cls"), the
            "last" one, or the model's own "pooler".
        pretrained: Whether to load the weights; switch it off if others follow.
        context_length: Number of tokens after which a text is cut; None is all that the model takes.

    Raises:
        InputError: There is no such model, or it cannot take texts of this length.
    """

    tokenizer: FastTokenizer

    def __init__(
        self,
        name: str | Path,
        pooling: Pooling = "mean",
        pretrained: bool = True,
        context_length: int | None = None,
    ) -> None:
        super().__init__()
        net, config, trained = build_model(name, "text", pretrained)
        if pooling == "pooler" and not trained:
            raise InputError(f"{name} has no trained pooler; set pooling to mean, cls or last.")
        self.net: Any = net.get_encoder() if getattr(config, "is_encoder_decoder", False) else net
        if pooling != "pooler" and getattr(self.net, "pooler", None) is not None:
            self.net.pooler = None  # its parameters would never get a gradient
        self.dim, self.pooling = config.hidden_size, pooling
        self.masked = config.model_type not in _UNMASKED
        self._files = read_tokenizer(name)
        longest = min(self._files.model_max_length, getattr(config, "max_position_embeddings", None) or 512)
        if context_length is not None and context_length > longest:
            raise InputError(f"context_length {context_length} is more than the {longest} tokens that {name} takes.")
        pad = self._files.pad_token_id if self._files.pad_token_id is not None else self._files.eos_token_id
        fixed = config.model_type in _FIXED_LENGTH
        names = ("eos", "bos", "sep", "cls", "unk")
        special = [getattr(self._files, f"{name}_token_id") for name in names] if self.masked else None
        self.tokenizer = FastTokenizer(
            self._files.backend_tokenizer, context_length or longest, pad or 0, fixed, special
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes vectors (B, D) of tokenized texts (B, L) int64."""
        mask = tokens != self.tokenizer.pad  # (B, L)
        ids = tokens.masked_fill(~mask, self.tokenizer.pad_id)
        output = self.net(input_ids=ids, attention_mask=mask.long() if self.masked else None)
        if self.pooling == "pooler":
            pooled: Tensor = output.pooler_output
            return pooled
        hidden: Tensor = output.last_hidden_state  # (B, L, D)
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)  # (B,)
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        weight = mask.unsqueeze(2).to(hidden.dtype)  # (B, L, 1)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes config.json and the tokenizer to ``folder/text_tower``."""
        self.net.config.save_pretrained(folder / "text_tower")
        self._files.save_pretrained(folder / "text_tower")
        return {"name": "./text_tower"}


def read_checkpoint(name: str | Path) -> tuple[HFImage, HFText, dict[str, Tensor], dict[str, Tensor]]:
    """Reads a CLIP or SigLIP checkpoint of transformers.

    Args:
        name: A folder, or a model id.

    Returns:
        The image tower, the text tower, the weights of their heads (none for SigLIP), and the scale (and the bias).

    Raises:
        InputError: There is no such checkpoint, or it holds another kind of model.
    """
    model, config, _ = build_model(name, "whole", pretrained=True)
    if not (hasattr(model, "vision_model") and hasattr(model, "text_model")):
        raise InputError(f"{name} holds a {config.model_type} model; wanted one of CLIP or SigLIP.")
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
