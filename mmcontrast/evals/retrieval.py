"""Retrieval between images and captions: recall at 1, 5 and 10 in both directions."""

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmcontrast.data.datasets.image_text import ImageText
from mmcontrast.errors import InputError
from mmcontrast.evals.ranking import recall_at
from mmcontrast.evals.results import EvalResult
from mmcontrast.inference.extract import evaluating, extract
from mmcontrast.inference.image_batches import preprocessing
from mmcontrast.inference.prompts import PROMPT_BATCH
from mmcontrast.methods.clip import CLIP


def retrieval(
    method: CLIP,
    data: str | Path | ImageText,
    batch_size: int = 64,
    limit: int | None = None,
    cache: bool | Path = False,
    progress: bool = False,
) -> EvalResult:
    """Measures how often an image finds one of its captions among all captions, and a caption its image.

    Images are embedded once, with all captions of each (five for Flickr8k and COCO), as Karpathy and Fei-Fei
    (1412.2306, section 4.1) define the task. The method is left in the mode that it is in.

    Args:
        method: The image-text method.
        data: Images with captions: shards, a folder, a caption file, or a data set of them.
        batch_size: Number of images that are encoded at once.
        limit: Largest number of images, a random choice that is always the same; None takes all.
        cache: True stores image features in the user's cache folder, a path stores them there, False stores nothing.
        progress: Whether to draw a progress bar on stderr if it is a terminal.

    Returns:
        ``i2t_r1``, ``i2t_r5``, ``i2t_r10``, ``t2i_r1``, ``t2i_r5`` and ``t2i_r10``, where ties count as a random order.
        Images that cannot be read or have no caption are counted and left out.

    Raises:
        InputError: No image can be read or none has a caption.
    """
    pairs = data if isinstance(data, ImageText) else ImageText(data, **preprocessing(method.encoder))
    indices, captions_of, num_without_caption = _with_captions(pairs, limit)
    features = extract(method, method.embed_image, pairs, batch_size, cache, progress, indices)
    if not len(features.vectors):
        raise InputError(f"none of the {len(pairs)} images can be read; the first is {features.unreadable[0]}")
    captions: list[str] = []
    owner: list[int] = []
    for row, index in enumerate(features.indices.tolist()):
        captions += captions_of[index]
        owner += [row] * len(captions_of[index])
    text_vectors = embed_captions(method, captions)  # (M, D)
    device = method.log_scale.device
    image_vectors = features.vectors.to(device)
    image_group, text_group = torch.arange(len(image_vectors), device=device), torch.tensor(owner, device=device)
    i2t = recall_at(image_vectors, text_vectors, image_group, text_group)
    t2i = recall_at(text_vectors, image_vectors, text_group, image_group)
    return EvalResult(
        metrics={
            **{f"i2t_r{k}": recall for k, recall in i2t.items()},
            **{f"t2i_r{k}": recall for k, recall in t2i.items()},
        },
        counts={
            "num_images": len(image_vectors),
            "num_captions": len(captions),
            "num_unreadable": len(features.unreadable),
            "num_without_caption": num_without_caption,
        },
    )


def _with_captions(pairs: ImageText, limit: int | None) -> tuple[np.ndarray | None, dict[int, list[str]], int]:
    """Returns the indices to embed (None for all), their captions, and how many images have no caption."""
    indices = list(range(len(pairs)))
    if limit is not None and limit < len(pairs):
        indices = np.sort(np.random.default_rng(0).permutation(len(pairs))[:limit]).tolist()
    captions_of: dict[int, list[str]] = {}
    missing: InputError | None = None
    for index in indices:
        try:
            captions_of[index] = pairs.captions(index)
        except InputError as error:  # one image without a caption does not end the evaluation
            missing = error
    if not captions_of:
        raise InputError(f"none of the {len(pairs)} images has a caption: {missing}")
    chosen = None if len(captions_of) == len(pairs) else np.array(list(captions_of))
    return chosen, captions_of, len(indices) - len(captions_of)


def embed_captions(method: CLIP, captions: list[str]) -> Tensor:
    """Embeds captions; long ones are cut.

    Args:
        method: The image-text method.
        captions: M captions.

    Returns:
        Unit vectors (M, D) in the order of ``captions``, on the device of the method.
    """
    order = sorted(range(len(captions)), key=lambda index: len(captions[index]))  # similar lengths need little padding
    device, blocks, remaining = method.log_scale.device, [], iter(order)
    with evaluating(method):
        while batch := list(islice(remaining, PROMPT_BATCH)):
            tokens = method.text_encoder.tokenizer([captions[index] for index in batch])
            blocks.append(method.embed_text(tokens.to(device)).float())
        return torch.cat(blocks)[torch.tensor(order, device=device).argsort()]
