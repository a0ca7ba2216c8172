"""Tokenizers of the `tokenizers` library, without the networks."""

import os
from collections.abc import Collection, Sequence

import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor

from mmcontrast.encoders.base import Tokenizer

# Captions are short and are tokenized in data workers; threads in forked workers would only print warnings.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class FastTokenizer(Tokenizer):
    """A tokenizer that a tokenizer.json describes.

    Args:
        backend: The tokenizer; this class sets its truncation and padding.
        context_length: Number of tokens after which a text is cut, its start and end tokens included.
        pad: Id of the padding token of the network.
        fixed: Whether to pad every row to ``context_length`` (SigLIP was trained so) instead of to the longest text.
        special: Ids of tokens that have a meaning, such as the end of a text. If the padding has one of them, or if the
            tokenizer adds it to texts, -1 marks the padding, so that no text is mistaken for it. None never marks it.

    Attributes:
        pad_id: Id that the network gets for padding.
    """

    def __init__(
        self,
        backend: Backend,
        context_length: int,
        pad: int,
        fixed: bool = False,
        special: Collection[int | None] | None = None,
    ) -> None:
        self.context_length, self.pad, self.pad_id = context_length, pad, pad
        self._backend = backend
        self._specials = backend.num_special_tokens_to_add(False)
        backend.enable_truncation(context_length)
        token = backend.id_to_token(pad)
        backend.enable_padding(pad_id=pad, pad_token=token, length=context_length if fixed else None)
        if special is not None and (pad in special or pad in self._text_ids()):
            self.pad = -1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokenizes B texts; returns (B, L) int64, padded to the longest text or to the context length."""
        rows = self._backend.encode_batch(list(texts))
        tokens = torch.tensor([row.ids for row in rows], dtype=torch.int64)
        if self.pad == self.pad_id:
            return tokens
        return tokens.masked_fill(torch.tensor([row.attention_mask for row in rows]) == 0, self.pad)

    def count(self, text: str) -> int:
        """Returns the number of tokens that ``text`` needs before it is cut."""
        row = self._backend.encode(text)
        rest = sum(sum(part.attention_mask) - self._specials for part in row.overflowing)
        return sum(row.attention_mask) + rest

    def _text_ids(self) -> set[int]:
        """Returns the ids that stand in every text, such as those of its start and its end."""
        row = self._backend.encode("a")
        return {token for token, real in zip(row.ids, row.attention_mask, strict=True) if real}
