"""Small checkpoints with random weights in the formats of transformers and open_clip."""

import json
from pathlib import Path

import open_clip
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

WORDS = ["a", "photo", "of", "the", "cat", "dog", "flower", "house", "old", "red", "temple", "with", "two", "and", "in"]
_TEXT = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
_VISION = {**_TEXT, "image_size": 32, "patch_size": 8}
del _VISION["vocab_size"]


def save_tokenizer(folder: Path, longest: int, pad: str = "[PAD]") -> None:
    """Word by word, each text between [BOS] and [EOS]."""
    specials = ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(specials + WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[BOS]", 2), ("[EOS]", 3)]
    backend.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=ends)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=pad, unk_token="[UNK]", eos_token="[EOS]", model_max_length=longest
    )
    tokenizer.save_pretrained(folder)


def save_bert(folder: Path) -> BertModel:
    """A text model for HFText."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**_TEXT, max_position_embeddings=16)).eval()
    model.save_pretrained(folder)
    save_tokenizer(folder, 16)
    return model


def save_hf_clip(folder: Path) -> CLIPModel:
    """Pads with its end token, as OpenAI's checkpoints do."""
    torch.manual_seed(0)
    text = {**_TEXT, "max_position_embeddings": 12, "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 3}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=8)).eval()
    model.save_pretrained(folder)
    save_tokenizer(folder, 12, pad="[EOS]")
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return model


def save_hf_siglip(folder: Path) -> SiglipModel:
    """Squashes images, pads to the whole context."""
    torch.manual_seed(0)
    text = {**_TEXT, "max_position_embeddings": 12, "pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 2}
    model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=_VISION)).eval()
    torch.nn.init.constant_(model.logit_scale, 2.0)
    torch.nn.init.constant_(model.logit_bias, -7.0)
    model.save_pretrained(folder)
    save_tokenizer(folder, 12)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}, resample=3).save_pretrained(folder)
    return model


def save_open_clip(folder: Path, sigmoid: bool = False, vision: dict | None = None) -> torch.nn.Module:
    """open_clip_config.json and open_clip_model.safetensors, as in its repositories on the hub.

    As SigLIP's there, those for the sigmoid have a tokenizer of transformers.
    """
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = {
        "embed_dim": 8,
        "vision_cfg": vision or {"image_size": 32, "layers": 3, "width": 16, "patch_size": 8, "head_width": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    if sigmoid:
        config |= {"init_logit_bias": -10.0, "init_logit_scale": 2.3, "custom_text": True}
        config["text_cfg"]["hf_tokenizer_name"] = "beside-the-config"
        save_tokenizer(folder, 12)
    preprocessing = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.25, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}))
    custom = config.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model
