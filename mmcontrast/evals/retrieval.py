"""Retrieval between images and captions: recall at 1, 5 and 10, both ways."""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcontrast.data.datasets.image_text import ImageText
from mmcontrast.errors import InputError
from mmcontrast.evals.ranking import recall_at
from mmcontrast.inference.extract import evaluating, extract
from mmcontrast.inference.image_batches import preprocessing
from mmcontrast.inference.prompts import PROMPT_BATCH
from mmcontrast.methods.clip import CLIP


def retrieval(
    method: CLIP,
    data: str | Path | ImageText,
    batch_size: int = 64,
    cache: bool | Path = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Each image looks for one of its captions among all captions; each caption looks for its image.

    Images are embedded once, with all captions of each (five for Flickr8k and COCO), as Karpathy and Fei-Fei
    (1412.2306, section 4.1) defined it.  The method is left in the mode it was in.

    Args:
        method: a ``CLIP``.
        data: images with captions (shards, a folder, a caption file), or a data set of them.
        batch_size: images encoded at once.
        cache: True keeps image features in the user's cache folder; or a folder of your own.
        progress: show a bar on a terminal's stderr.
    Returns:
        ``i2t_r1``, ``i2t_r5``, ``i2t_r10``, ``t2i_r1``, ``t2i_r5``, ``t2i_r10`` in [0, 1] (ties count as a random order
        would have them), ``n_images``, ``n_captions``, ``unreadable`` images left out with their captions.
    """
    pairs = data if isinstance(data, ImageText) else ImageText(data, **preprocessing(method.encoder))
    image = extract(method, method.embed_image, pairs, batch_size, cache, progress)
    if not len(image.vectors):
        raise InputError(f"none of the {len(pairs)} images can be read; the first is {image.unreadable[0]}")
    captions, owner = [], []
    for row, place in enumerate(image.places.tolist()):
        own = pairs.captions(place)
        captions += own
        owner += [row] * len(own)
    text = embed_captions(method, captions)  # (M, D)
    device = method.log_scale.device
    vectors = image.vectors.to(device)
    image_group, text_group = torch.arange(len(vectors), device=device), torch.tensor(owner, device=device)
    i2t = recall_at(vectors, text, image_group, text_group)
    t2i = recall_at(text, vectors, text_group, image_group)
    return {
        **{f"i2t_r{k}": recall for k, recall in i2t.items()},
        **{f"t2i_r{k}": recall for k, recall in t2i.items()},
        "n_images": len(vectors),
        "n_captions": len(captions),
        "unreadable": len(image.unreadable),
    }


def embed_captions(method: CLIP, captions: list[str]) -> Tensor:
    """M captions -> (M, D) unit vectors in the same order, where the method lies; long captions are cut."""
    order = sorted(range(len(captions)), key=lambda place: len(captions[place]))  # like lengths need little padding
    device, blocks, remaining = method.log_scale.device, [], iter(order)
    with evaluating(method):
        while batch := list(islice(remaining, PROMPT_BATCH)):
            tokens = method.text_encoder.tokenizer([captions[place] for place in batch])
            blocks.append(method.embed_text(tokens.to(device)).float())
        return torch.cat(blocks)[torch.tensor(order, device=device).argsort()]
