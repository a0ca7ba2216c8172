"""The towers of open_clip (https://github.com/mlfoundations/open_clip), each with its projection."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from huggingface_hub.errors import HfHubHTTPError
from open_clip.model import _build_text_tower, _build_vision_tower
from open_clip.timm_model import TimmModel
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import TextTransformer, VisionTransformer
from open_clip.utils import to_2tuple
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder, Tokenizer
from mmcontrast.encoders.timm_network import drop_patches
from mmcontrast.errors import InputError, summarize


class OpenClipImage(Encoder):
    """The image tower of an open_clip architecture with its projection; its weights are random until others are loaded.

    Args:
        arch: A name of ``open_clip.list_models()``, "hf-hub:USER/REPO", or a folder with open_clip_config.json.
        preprocessing: Values of ``mean``, ``std``, ``interpolation`` and ``resize_mode`` of open_clip; None is that of
            the folder, or the default of open_clip.

    Raises:
        InputError: There is no such architecture.
    """

    def __init__(self, arch: str, preprocessing: dict[str, Any] | None = None) -> None:
        config, own_preprocessing = read_config(arch)
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
        """Computes vectors (B, D) of images (B, 3, S, S) in [0, 1], where S is the image size."""
        pooled: Tensor = self.net(self.normalize(image))
        return pooled

    def grid(self, image: Tensor) -> Tensor:
        """Computes features of cells in the joint space of images and texts (MaskCLIP, 2112.01071).

        The positions of the tower are fixed, so images of another size are resized and their grid is resampled.

        Args:
            image: Images (B, 3, H, W) in [0, 1].

        Returns:
            Features (B, D, ceil(H / stride), ceil(W / stride)).
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
        """Leaves out a random fraction ``rate`` of each image's patches while training (FLIP, 2212.00794)."""
        if isinstance(self.net, TimmModel):
            drop_patches(self.net.trunk, rate)
        elif isinstance(self.net, VisionTransformer):
            self.net.patch_dropout = open_clip.transformer.PatchDropout(rate)
        else:
            raise InputError("A ResNet has no patches to drop; patch_dropout is for vision transformers.")

    def layer_ids(self) -> dict[str, int]:
        """Returns the depth of each parameter by its name; the projection is the last layer."""
        return _projection_last(super().layer_ids(), "net.proj")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes open_clip_config.json to ``folder/open_clip``."""
        return _save(folder, self._config, self._preprocessing) | {"preprocessing": None}


class OpenClipText(TextEncoder):
    """The text tower of an open_clip architecture with its tokenizer; its weights are random until others are loaded.

    Args:
        arch: A name of ``open_clip.list_models()``, "hf-hub:USER/REPO", or a folder with open_clip_config.json.

    Raises:
        InputError: There is no such architecture.
    """

    tokenizer: "OpenClipTokenizer"

    def __init__(self, arch: str) -> None:
        super().__init__()
        self._config, self._preprocessing = read_config(arch)
        text = self._config["text_cfg"] | {"hf_model_pretrained": False}
        self.net = _build_text_tower(self._config["embed_dim"], text, self._config.get("quick_gelu", False))
        self.dim = self._config["embed_dim"]
        # In a causal tower that is read at its end token nothing attends to the padding, so short texts stay short.
        self._short = (
            isinstance(self.net, TextTransformer)
            and self.net.attn_mask is not None
            and self.net.cls_emb is None
            and self.net.pool_type == "argmax"
        )
        source = open_clip.get_tokenizer(schema(arch))
        self.tokenizer = OpenClipTokenizer(source, self._short and isinstance(source, SimpleTokenizer))

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes vectors (B, D) of tokenized texts (B, L) int64."""
        if not self._short:
            padded: Tensor = self.net(tokens)
            return padded
        length = tokens.shape[1]
        x = self.net.token_embedding(tokens) + self.net.positional_embedding[:length]  # (B, L, W)
        x = self.net.transformer(x, attn_mask=self.net.attn_mask[:length, :length])
        end: Tensor = self.net.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(1)])  # (B, W)
        project = self.net.text_projection
        if project is None:
            return end
        projected: Tensor = project(end) if isinstance(project, nn.Linear) else end @ project
        return projected

    def layer_ids(self) -> dict[str, int]:
        """Returns the depth of each parameter by its name; the projection is the last layer."""
        return _projection_last(super().layer_ids(), "net.text_projection")

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes open_clip_config.json, and a tokenizer that open_clip lacks, to ``folder/open_clip``."""
        arguments = _save(folder, self._config, self._preprocessing)
        if not isinstance(self.tokenizer.source, SimpleTokenizer):
            self.tokenizer.source.tokenizer.save_pretrained(folder / "open_clip")
        return arguments


class OpenClipTokenizer(Tokenizer):
    """The byte-pair tokenizer of open_clip, or its wrapper of a tokenizer of transformers.

    Args:
        source: The tokenizer of open_clip.
        short: Whether to pad to the longest text only; the end token must have the largest id.
    """

    def __init__(self, source: Any, short: bool = False) -> None:
        self.source, self.context_length, self.short = source, source.context_length, short
        self.pad = 0 if isinstance(source, SimpleTokenizer) else source.tokenizer.pad_token_id

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokenizes B texts; returns (B, L) int64."""
        tokens: Tensor = self.source(list(texts)).to(torch.int64)
        return tokens[:, : int(tokens.argmax(1).max()) + 1] if self.short and len(tokens) else tokens

    def count(self, text: str) -> int:
        """Returns the number of tokens that ``text`` needs, its start and its end included."""
        if isinstance(self.source, SimpleTokenizer):
            return len(self.source.encode(text)) + 2
        return len(self.source.tokenizer(text).input_ids)


def schema(arch: str) -> str:
    """Returns the name by which open_clip knows an architecture or a folder."""
    return f"local-dir:{arch}" if Path(arch).is_dir() else arch


def read_config(arch: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the config of an architecture.

    Args:
        arch: A name, "hf-hub:USER/REPO", or a folder.

    Returns:
        Its ``model_cfg``, and the ``preprocess_cfg`` of a folder.

    Raises:
        InputError: There is no such architecture, or it is a CoCa model.
    """
    try:
        config = open_clip.get_model_config(schema(arch))
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, HfHubHTTPError) as error:
        raise InputError(f"{arch} has no readable open_clip_config.json: {summarize(error)}.") from error
    if config is None:
        raise InputError(f"open_clip has no architecture {arch!r}; see open_clip.list_models(), or give a folder.")
    if not isinstance(config, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
        raise InputError(f"The open_clip_config.json of {arch} lacks embed_dim, vision_cfg or text_cfg.")
    if "multimodal_cfg" in config:
        raise InputError(f"{arch} is a CoCa model; only open_clip's two-tower models load here.")
    folder = Path(arch) / "open_clip_config.json"
    preprocessing = json.loads(folder.read_text()).get("preprocess_cfg", {}) if folder.is_file() else {}
    return config, preprocessing


def _save(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, Any]:
    """Writes the config of a tower; returns the constructor arguments that point to it."""
    path = folder / "open_clip" / "open_clip_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}, indent=2))
    return {"arch": "./open_clip"}


def _projection_last(ids: dict[str, int], prefix: str) -> dict[str, int]:
    """Moves the projection to the last layer, since open_clip registers it before the blocks."""
    last = max(ids.values())
    return {name: last if name.startswith(prefix) else depth for name, depth in ids.items()}
