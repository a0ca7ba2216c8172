"""The towers of open_clip (https://github.com/mlfoundations/open_clip), each with its own projection."""

import json
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import _build_text_tower, _build_vision_tower
from open_clip.timm_model import TimmModel
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import TextTransformer, VisionTransformer
from open_clip.utils import to_2tuple
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder, Tokenizer
from mmcontrast.encoders.timm import drop_patches
from mmcontrast.errors import InputError


class OpenClipImage(Encoder):
    """The image tower of an open_clip architecture, its projection included; weights are random until loaded.

    Args:
        arch: a name of ``open_clip.list_models()``, "hf-hub:USER/REPO", or a folder with open_clip_config.json.
        preprocessing: open_clip's ``mean``, ``std``, ``interpolation``, ``resize_mode``; None: the folder's, or
            open_clip's defaults.
    """

    def __init__(self, arch: str, preprocessing: dict[str, Any] | None = None) -> None:
        config, own_preprocessing = _config(arch)
        self._config = config
        self._preprocessing = merge_preprocess_dict(PreprocessCfg(), own_preprocessing | (preprocessing or {}))
        super().__init__(self._preprocessing["mean"], self._preprocessing["std"])
        self.net = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
        self.dim, self.image_size = config["embed_dim"], to_2tuple(self.net.image_size)[0]
        if isinstance(self.net, TimmModel):
            self.stride = self.net.trunk.feature_info[-1]["reduction"]
        else:
            self.stride = self.net.patch_size[0] if isinstance(self.net, VisionTransformer) else 32
        self.interpolation = self._preprocessing["interpolation"]
        self.crop = "squash" if self._preprocessing["resize_mode"] == "squash" else "center"

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] with S the image size -> (B, D)."""
        return self.net(self.normalize(image))

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride)), joint space (MaskCLIP, 2112.01071).

        The tower's positions are fixed: an image of another size is seen at the tower's, and its grid resampled.
        """
        size = [-(-side // self.stride) for side in image.shape[-2:]]
        x = F.interpolate(image, self.net.image_size, mode="bilinear", antialias=True)
        normed = isinstance(self.net, VisionTransformer | TimmModel)
        output = self.net.forward_intermediates(
            self.normalize(x), indices=1, intermediates_only=True, normalize_intermediates=normed
        )
        cells = output["image_intermediates"][-1].movedim(1, -1)  # (B, h, w, width)
        if isinstance(self.net, VisionTransformer):
            cells = cells if self.net.proj is None else cells @ self.net.proj
        elif isinstance(self.net, TimmModel):
            cells = self.net.head(cells)
        else:
            pool = self.net.attnpool
            cells = pool.c_proj(pool.v_proj(cells))
        return F.interpolate(cells.movedim(-1, 1), size, mode="bilinear", align_corners=False)

    def drop_patches(self, rate: float) -> None:
        """While training, leave out a random share ``rate`` of each image's patches (FLIP, 2212.00794)."""
        if isinstance(self.net, TimmModel):
            drop_patches(self.net.trunk, rate)
        elif isinstance(self.net, VisionTransformer):
            self.net.patch_dropout = open_clip.transformer.PatchDropout(rate)
        else:
            raise InputError("A ResNet has no patches to drop; patch_dropout is for vision transformers")

    def layer_ids(self) -> dict[str, int]:
        """Name of each parameter -> its depth; the projection is the last."""
        return _projection_last(super().layer_ids(), "net.proj")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Write open_clip_config.json to ``folder/open_clip``."""
        return _save(folder, self._config, self._preprocessing) | {"preprocessing": None}


class OpenClipText(TextEncoder):
    """The text tower of an open_clip architecture with its tokenizer; weights are random until loaded.

    Args:
        arch: as for the image tower.
    """

    tokenizer: "OpenClipTokenizer"

    def __init__(self, arch: str) -> None:
        super().__init__()
        self._config, self._preprocessing = _config(arch)
        text = self._config["text_cfg"] | {"hf_model_pretrained": False}
        self.net = _build_text_tower(self._config["embed_dim"], text, self._config.get("quick_gelu", False))
        self.dim = self._config["embed_dim"]
        # Nothing attends to the padding of a causal tower read at its end token, so that short texts may stay short.
        self._short = (
            isinstance(self.net, TextTransformer)
            and self.net.attn_mask is not None
            and self.net.cls_emb is None
            and self.net.pool_type == "argmax"
        )
        source = open_clip.get_tokenizer(_schema(arch))
        self.tokenizer = OpenClipTokenizer(source, self._short and isinstance(source, SimpleTokenizer))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, D)."""
        if not self._short:
            return self.net(tokens)
        length = tokens.shape[1]
        x = self.net.token_embedding(tokens) + self.net.positional_embedding[:length]  # (B, L, W)
        x = self.net.transformer(x, attn_mask=self.net.attn_mask[:length, :length])
        end = self.net.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(1)])  # (B, W)
        project = self.net.text_projection
        if project is None:
            return end
        return project(end) if isinstance(project, nn.Linear) else end @ project

    def layer_ids(self) -> dict[str, int]:
        """Name of each parameter -> its depth; the projection is the last."""
        return _projection_last(super().layer_ids(), "net.text_projection")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Write open_clip_config.json, and a tokenizer that open_clip lacks, to ``folder/open_clip``."""
        arguments = _save(folder, self._config, self._preprocessing)
        if not isinstance(self.tokenizer.source, SimpleTokenizer):
            self.tokenizer.source.tokenizer.save_pretrained(folder / "open_clip")
        return arguments


class OpenClipTokenizer(Tokenizer):
    """open_clip's own byte-pair tokenizer, or its wrapper of one of transformers.

    Args:
        source: open_clip's tokenizer.
        short: pad to the longest text only, which ends with the highest of its ids.
    """

    def __init__(self, source: Any, short: bool = False) -> None:
        self.source, self.context_length, self.short = source, source.context_length, short
        self.pad = 0 if isinstance(source, SimpleTokenizer) else source.tokenizer.pad_token_id

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, L) int64."""
        tokens = self.source(list(texts)).to(torch.int64)
        return tokens[:, : int(tokens.argmax(1).max()) + 1] if self.short and len(tokens) else tokens

    def count(self, text: str) -> int:
        """Tokens that ``text`` needs, its start and end included."""
        if isinstance(self.source, SimpleTokenizer):
            return len(self.source.encode(text)) + 2
        return len(self.source.tokenizer(text).input_ids)


def read_checkpoint(arch: str, pretrained: str | Path) -> tuple[OpenClipImage, OpenClipText, dict[str, Tensor]]:
    """A checkpoint of open_clip -> its towers, and its scale (and bias)."""
    arch = with_activation(arch, str(pretrained))
    _config(arch)
    try:
        model = open_clip.create_model(
            _schema(arch), pretrained=str(pretrained) or None, force_custom_text=True, require_pretrained=True
        )
    except UnpicklingError as error:
        raise InputError(f"{pretrained} holds more than tensors, and is not loaded") from error
    except (RuntimeError, OSError, ValueError) as error:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise InputError(
            f"No weights {str(pretrained)!r} for open_clip's {arch!r}: {error}. Give a file, or a tag "
            f"of this architecture: {tags}"
        ) from error
    preprocessing = {k: v for k, v in model.visual.preprocess_cfg.items() if k not in ("size", "mode", "fill_color")}
    image, text = OpenClipImage(arch, preprocessing), OpenClipText(arch)
    image.net.load_state_dict(model.visual.state_dict())
    text.net.load_state_dict(model.text.state_dict())
    scalars = {"log_scale": model.logit_scale.detach()}
    if model.logit_bias is not None:
        scalars["bias"] = model.logit_bias.detach()
    return image, text, scalars


def with_activation(arch: str, tag: str) -> str:
    """The QuickGELU variant of an architecture, if the tag's weights were trained with it; open_clip only warns."""
    variant = f"{arch}-quickgelu"
    trained_so = open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu", False)
    return variant if trained_so and variant in open_clip.list_models() else arch


def _schema(arch: str) -> str:
    return f"local-dir:{arch}" if Path(arch).is_dir() else arch


def _config(arch: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The architecture's ``model_cfg`` and, from a folder, its ``preprocess_cfg``."""
    try:
        config = open_clip.get_model_config(_schema(arch))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{arch} has no readable open_clip_config.json: {error}") from error
    if config is None:
        raise InputError(f"open_clip has no architecture {arch!r}; see open_clip.list_models(), or give a folder")
    if "multimodal_cfg" in config:
        raise InputError(f"{arch} is a CoCa model; only open_clip's two-tower models load here")
    folder = Path(arch) / "open_clip_config.json"
    preprocessing = json.loads(folder.read_text()).get("preprocess_cfg", {}) if folder.is_file() else {}
    return config, preprocessing


def _save(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, Any]:
    place = folder / "open_clip" / "open_clip_config.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}, indent=2))
    return {"arch": "./open_clip"}


def _projection_last(ids: dict[str, int], prefix: str) -> dict[str, int]:
    """open_clip registers a projection before the blocks that it follows."""
    last = max(ids.values())
    return {name: last if name.startswith(prefix) else depth for name, depth in ids.items()}
