"""Classification of images by labels in words: the label whose prompts lie nearest to the image.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, section 3.1.
https://arxiv.org/abs/2103.00020
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mmcontrast.data.io.decode import load as load_image
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.checks import check_at_least
from mmcontrast.inference.device import inference_in
from mmcontrast.inference.image_batches import ImageSources, preprocessing, to_float
from mmcontrast.inference.prompts import Labels, PromptSet, Templates, embed_prompts
from mmcontrast.methods.base import Method
from mmcontrast.methods.clip import CLIP
from mmcontrast.predict.base import Model, Predictor
from mmcontrast.predict.results import Classification, LabelScore, Result


class ZeroShotClassifier(Predictor[Classification]):
    """Probabilities of labels for images.

    See ``Predictor`` for the images that it takes. Images are decoded in background threads while the encoder works.

    Example:
        >>> import numpy as np
        >>> classify = ZeroShotClassifier("clip-lite", ["cat", "dog"], cache=False)
        >>> (result,) = classify(np.zeros((64, 64, 3), np.uint8))
        >>> result.labels, result.probabilities.shape
        (('cat', 'dog'), torch.Size([2]))
        >>> [guess.label for guess in result.top(1)]
        ['cat']

    Args:
        model: A ``CLIP``, its name, or its path.
        labels: Names, or {name: prompts} with prompts of your own.
        device: See ``Predictor``.
        batch_size: See ``Predictor``.
        resolution: Side in pixels of the squares that the encoder gets. None stands for the one it was trained with.
        dtype: See ``Predictor``.
        templates: "simple" (7), "openai80", a file with one template a line, or a list; ``{}`` stands for the label.
        none_of_these: Adds the label "none of these", whose prompts fit any image. None adds it if there is one label
            only, whose probability would be 1 for every image without it.
        cache: Where label vectors are stored between runs: True for ``$MMCONTRAST_CACHE`` or the user's cache folder,
            a folder of your own, or False for nowhere.

    Attributes:
        labels: The names, in the order of the columns.
        vectors: (C, D) unit vectors of the labels.

    Raises:
        InputError: A label is empty, comes twice, or is longer than the model reads; the templates cannot be used; the
            model has no text encoder.
    """

    model: CLIP

    def __init__(
        self,
        model: Model,
        labels: Labels,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        resolution: int | None = None,
        dtype: torch.dtype | str | None = None,
        templates: Templates = "simple",
        none_of_these: bool | None = None,
        cache: bool | Path = True,
    ) -> None:
        prompts = PromptSet(labels, templates, none_of_these)
        super().__init__(model, device=device, batch_size=batch_size, resolution=resolution, dtype=dtype)
        self.labels = prompts.labels
        self.vectors = embed_prompts(self.model, prompts, self.device, cache)

    def stream(self, images: ImageSources, /) -> Iterator[Result[Classification]]:
        """Yields one result per image; see ``Predictor``."""
        settings = preprocessing(self.model.encoder)
        settings["size"] = self.resolution or settings["size"]
        return self._run(images, partial(load_image, **settings), self._classify)

    def logits(self, images: ImageSources) -> Tensor:
        """Returns (N, C) float32, scale times cosine, on the CPU.

        Raises:
            InputError: An image cannot be read.
        """
        rows = [result.logits for result in self(images)]
        return torch.stack(rows) if rows else torch.empty(0, len(self.labels))

    def probabilities(self, images: ImageSources) -> Tensor:
        """Returns (N, C) float32 probabilities on the CPU; each row sums to 1.

        Raises:
            InputError: An image cannot be read.
        """
        return self.logits(images).softmax(1)

    def top(self, images: ImageSources, k: int = 5) -> list[list[LabelScore]]:
        """Returns the k most probable labels of each image, best first.

        Raises:
            InputError: An image cannot be read, or k is below 1.
        """
        check_at_least("k", k, 1)
        return [result.top(k) for result in self(images)]

    def _adapt(self, model: Method | Encoder) -> CLIP:
        if not isinstance(model, CLIP):
            raise InputError(
                f"a {type(model).__name__} has no text encoder; zero-shot classification needs a CLIP, such as "
                "'clip-lite'"
            )
        return model

    def _classify(self, images: list[Tensor]) -> list[Classification]:
        """Returns the classifications of (3, S, S) uint8 images."""
        with inference_in(self.device, self.dtype):
            embedded = self.model.embed_image(to_float(torch.stack(images), self.device)).float()  # (B, D)
        with torch.no_grad():  # and not inference_mode, so that callers may train on the results
            logits = (self.model.log_scale.exp() * embedded @ self.vectors.T).cpu()  # (B, C)
            rows = zip(logits, logits.softmax(1), strict=True)
            labels = tuple(self.labels)
            return [Classification(labels, *row) for row in rows]
