"""Classify images by words alone: the label whose prompts lie nearest.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, section 3.1.
https://arxiv.org/abs/2103.00020
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.inference.device import choose_device
from mmcontrast.inference.image_batches import ImageSources, batches, to_float
from mmcontrast.inference.prompts import Labels, PromptSet, Templates, embed_prompts
from mmcontrast.methods.clip import CLIP
from mmcontrast.models.loading import load


class Guess(NamedTuple):
    """A label and its probability."""

    label: str
    score: float


class ZeroShotClassifier:
    """Probabilities of labels for images.

        classify = ZeroShotClassifier("clip-lite", ["cat", "dog"])
        classify(["a.jpg", "b.png"])          # (2, 2) probabilities
        classify.top("a.jpg", k=1)            # [[Guess(label="cat", score=0.98)]]

    Images are paths, PIL images, uint8 arrays (H, W, 3) or (N, H, W, 3), uint8 tensors (3, H, W) or (N, 3, H, W), one
    or any iterable of them; a folder stands for the image files in it, sorted, at any depth.  They are decoded in
    background threads while the encoder works.

    Args:
        model: a CLIP or a name that ``mmcontrast.load`` knows.  It is moved to ``device`` and put in evaluation mode.
        labels: names, or {name: prompts} where you write the prompts.
        templates: "simple" (7), "openai80", a file with one template a line, or a list; ``{}`` is the label's place.
        device: None for CUDA where there is one, else the CPU.
        batch_size: images encoded at once.
        cache: where label vectors are kept between runs: True for ``$MMCONTRAST_CACHE`` or the user's cache folder, a
            folder of your own, or False for nowhere.
    Attributes:
        labels: their names, in the order of the columns.
        vectors: (C, D) unit vectors of the labels.
    Raises:
        InputError: for an empty or a duplicate label, one that is longer than the model reads, or unusable templates.
    """

    def __init__(
        self,
        model: CLIP | str | Path,
        labels: Labels,
        templates: Templates = "simple",
        device: str | torch.device | None = None,
        batch_size: int = 64,
        cache: bool | Path = True,
    ) -> None:
        prompts = PromptSet(labels, templates)
        if batch_size < 1:
            raise InputError(f"batch size {batch_size}: give 1 or more")
        self.device = choose_device(device)
        loaded = load(model) if isinstance(model, str | Path) else model
        if not isinstance(loaded, CLIP):
            raise InputError(f"{type(loaded).__name__} has no text tower; zero-shot needs a CLIP, such as 'clip-lite'")
        self.model = loaded.to(self.device).eval()
        self.labels, self.batch_size = prompts.labels, batch_size
        self.vectors = embed_prompts(self.model, prompts, self.device, cache)

    def __call__(self, images: ImageSources) -> Tensor:
        """Images -> (N, C) float32 probabilities, each row of sum 1, on the model's device.

        Raises:
            InputError: for an image that cannot be read.
        """
        return self.logits(images).softmax(1)

    def logits(self, images: ImageSources) -> Tensor:
        """Images -> (N, C) float32: scale times cosine."""
        blocks = []
        for logits, errors in self.stream(images):
            for error in filter(None, errors):
                raise InputError(error)
            blocks.append(logits)
        return torch.cat(blocks) if blocks else self.vectors.new_empty(0, len(self.labels))

    def top(self, images: ImageSources, k: int = 5) -> list[list[Guess]]:
        """The k likeliest labels of each image, best first."""
        scores, places = self(images).topk(min(k, len(self.labels)))  # (N, k)
        return [
            [Guess(self.labels[place], score) for place, score in zip(*row, strict=True)]
            for row in zip(places.tolist(), scores.tolist(), strict=True)
        ]

    def stream(self, images: ImageSources) -> Iterator[tuple[Tensor, list[str | None]]]:
        """Batch by batch: (B', C) logits of the readable images, and B entries that are None or say what failed."""
        for image, errors in batches(images, self.model.encoder, self.batch_size):
            yield self._score(image), errors

    @torch.inference_mode()
    def _score(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, C) logits."""
        if not len(image):
            return self.vectors.new_empty(0, len(self.labels))
        embedded = self.model.embed_image(to_float(image, self.device)).float()  # (B, D)
        return self.model.log_scale.exp() * embedded @ self.vectors.T
