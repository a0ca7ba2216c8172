"""Texts to token ids with the `tokenizers` library, without the networks."""

import os
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor

from mmcontrast.encoders.base import Tokenizer

# Captions are short and tokenized in data workers; threads inside forked workers would only print warnings.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class FastTokenizer(Tokenizer):
    """A tokenizer.json at work.

    Args:
        backend: the tokenizer; its cut and padding are set here.
        context_length: tokens after which a text is cut, its start and end tokens included.
        pad: id that fills short rows.
        fixed: pad every row to ``context_length``, for networks trained so (SigLIP), not just to the longest text.
    """

    def __init__(self, backend: Backend, context_length: int, pad: int, fixed: bool = False) -> None:
        self.context_length, self.pad = context_length, pad
        self._backend = backend
        self._specials = backend.num_special_tokens_to_add(False)
        backend.enable_truncation(context_length)
        token = backend.id_to_token(pad)
        backend.enable_padding(pad_id=pad, pad_token=token, length=context_length if fixed else None)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, L) int64, padded to the longest, or to the context length where the network wants that."""
        return torch.tensor([row.ids for row in self._backend.encode_batch(list(texts))], dtype=torch.int64)

    def count(self, text: str) -> int:
        """Tokens that ``text`` needs, before any cut."""
        row = self._backend.encode(text)
        rest = sum(sum(part.attention_mask) - self._specials for part in row.overflowing)
        return sum(row.attention_mask) + rest
