"""A BERT text encoder in plain PyTorch, which needs no import of the transformers library (2 s of CPU time)."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer as Backend
from torch import Tensor, nn

from mmcontrast.encoders.base import TextEncoder
from mmcontrast.encoders.text import FastTokenizer
from mmcontrast.errors import InputError

_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


class BertText(TextEncoder):
    """A BERT (Devlin et al. 2019, 1810.04805) whose text vector is the mean over the tokens.

    Outputs and names of weights are those of ``HFText`` with mean pooling.

    Args:
        name: A folder with config.json and tokenizer.json, as the transformers library writes them.
        pretrained: Whether to load the folder's model.safetensors; switch it off if other weights follow.
        context_length: Number of tokens after which a text is cut.

    Raises:
        InputError: The folder lacks a file, or describes another network than BERT.
    """

    tokenizer: FastTokenizer

    def __init__(self, name: str | Path, pretrained: bool = True, context_length: int = 64) -> None:
        super().__init__()
        self._folder = Path(name)
        try:
            config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
            backend = Backend.from_str((self._folder / "tokenizer.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{name}: cannot be read as a BERT with its tokenizer ({error})") from error
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise InputError(f"{name}: describes no BERT with gelu; use HFText for other networks")
        if context_length > config["max_position_embeddings"]:
            raise InputError(f"context_length is {context_length}; {name} takes {config['max_position_embeddings']}")
        self.dim = config["hidden_size"]
        self.net = _Bert(config)
        if pretrained:
            self.net.load_state_dict(load_file(self._folder / "model.safetensors"))
        self.tokenizer = FastTokenizer(backend, context_length, config.get("pad_token_id") or 0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns vectors (B, D) of tokenized texts (B, L) int64."""
        mask = tokens != self.tokenizer.pad  # (B, L)
        hidden: Tensor = self.net(tokens, mask)  # (B, L, D)
        weight = mask.unsqueeze(2).to(hidden.dtype)  # (B, L, 1)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

    def save_files(self, folder: Path) -> dict[str, Any]:
        """Writes config.json and the tokenizer to ``folder/text_tower``."""
        (folder / "text_tower").mkdir(parents=True, exist_ok=True)
        for file in _FILES:
            if (self._folder / file).is_file():
                shutil.copyfile(self._folder / file, folder / "text_tower" / file)
        return {"name": "./text_tower"}


class _Bert(nn.Module):
    """The network. The names of its parts are those of the transformers library."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim = config["hidden_size"]
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config["vocab_size"], dim, padding_idx=config.get("pad_token_id")),
                "position_embeddings": nn.Embedding(config["max_position_embeddings"], dim),
                "token_type_embeddings": nn.Embedding(config["type_vocab_size"], dim),
                "LayerNorm": nn.LayerNorm(dim, config["layer_norm_eps"]),
            }
        )
        layers = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.dropout = config["hidden_dropout_prob"]
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=config["initializer_range"])
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Returns the hidden states (B, L, D) of tokens (B, L) at which mask (B, L) is true."""
        part = self.embeddings
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]  # (1, L)
        x: Tensor = part["word_embeddings"](tokens) + part["token_type_embeddings"](torch.zeros_like(tokens))
        x = part["LayerNorm"](x + part["position_embeddings"](positions))
        x = F.dropout(x, self.dropout, self.training)
        attended = None if mask.all() else mask[:, None, None].expand(-1, 1, mask.shape[1], -1)  # (B, 1, L, L)
        layers: Any = self.encoder["layer"]
        for layer in layers:
            x = layer(x, attended)
        return x


class _Layer(nn.Module):
    """Attention and a network of two layers, each followed by a normalization."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim, width, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(dim, dim) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": nn.Linear(dim, dim), "LayerNorm": nn.LayerNorm(dim, epsilon)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, dim), "LayerNorm": nn.LayerNorm(dim, epsilon)})
        self.dropout, self.attention_dropout = config["hidden_dropout_prob"], config["attention_probs_dropout_prob"]

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns new hidden states (B, L, D)."""
        projections: Any = self.attention["self"]
        query, key, value = (
            projections[name](x).unflatten(2, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value")
        )  # (B, heads, L, D / heads) each
        dropout = self.attention_dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        x = self._add(self.attention["output"], heads.transpose(1, 2).flatten(2), x)
        return self._add(self.output, F.gelu(self.intermediate["dense"](x)), x)

    def _add(self, output: Any, update: Tensor, x: Tensor) -> Tensor:
        """Returns x plus its update, normalized."""
        normalized: Tensor = output["LayerNorm"](F.dropout(output["dense"](update), self.dropout, self.training) + x)
        return normalized
