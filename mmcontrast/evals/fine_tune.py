"""Fine-tuning on few labels: a classifier is learned on frozen features first, then all weights are trained.

Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, 2022 (LP-FT).
https://arxiv.org/abs/2202.10054
"""

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data.augment.views import OneView
from mmcontrast.data.datasets.images import Images
from mmcontrast.data.sampler import SampleKey
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.logistic import Classifier
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.image_batches import read_ahead, to_float


class EncoderClassifier(nn.Module):
    """An encoder with a linear classifier on its pooled output.

    Args:
        encoder: The encoder.
        classifier: The initial weights of the linear layer.
    """

    def __init__(self, encoder: Encoder, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(classifier.weight.shape[1], len(classifier.weight), device=classifier.weight.device)
        self.head.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})

    def forward(self, image: Tensor) -> Tensor:
        """Computes logits (B, C) of images (B, 3, S, S) in [0, 1]."""
        logits: Tensor = self.head(self.encoder(image))
        return logits


def fine_tune(
    encoder: Encoder,
    classifier: Classifier,
    images: Images,
    indices: Tensor,
    target: Tensor,
    epochs: int = 30,
    lr: float = 3e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> EncoderClassifier:
    """Trains a copy of an encoder and its classifier with AdamW, on random crops (area at least 0.3) and mirror images.

    The learning rate rises over the first tenth of the run and falls by a cosine; weight decay is 0.05 on matrices.

    Args:
        encoder: The encoder; it is not changed.
        classifier: The classifier to begin with, for unscaled features.
        images: The data set.
        indices: Indices of the images to learn from (N,) int64.
        target: Their classes (N,) int64.
        epochs: Number of epochs.
        lr: The largest learning rate.
        batch_size: Number of images in a batch.
        seed: Seed of the order and of the augmentation.

    Returns:
        The trained copy, in evaluation mode.

    Raises:
        InputError: An image can no longer be read.
    """
    encoder_copy = copy.deepcopy(encoder)
    encoder_copy.freeze(None)
    model = EncoderClassifier(encoder_copy, classifier).train()
    device = encoder.mean.device
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _lr_factor(epochs * math.ceil(len(indices) / batch_size)))
    augment = OneView(scale=(0.3, 1.0), flip=0.5)
    pixels = _read(images, indices)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for batch in torch.randperm(len(indices), generator=generator).split(batch_size):
            keys = [SampleKey(int(indices[i]), epoch, seed).to_int() for i in batch]
            sample_key = torch.tensor(keys, device=device)
            image = augment({"image": pixels[batch].to(device), "sample_key": sample_key})["image"]
            if len(batch) == 1:  # batch norm cannot learn from one sample
                model.eval()
            loss = F.cross_entropy(model(image), target[batch.to(target.device)].to(device))
            model.train()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _lr_factor(steps: int) -> Callable[[int], float]:
    """Returns the factor of the learning rate by step: a linear warm-up over a tenth of the steps, then a cosine."""
    warmup = max(1, steps // 10)

    def factor(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / (steps - warmup + 1)))
        return min((step + 1) / warmup, cosine)

    return factor


def classify(model: EncoderClassifier, images: Images, indices: Tensor, batch_size: int) -> Tensor:
    """Computes logits of images that can be read.

    Args:
        model: The model.
        images: The data set.
        indices: Indices of the images (N,) int64.
        batch_size: Number of images in a batch.

    Returns:
        Logits (N, C) on the model's device.
    """
    device = model.encoder.mean.device
    batches = read_ahead(lambda index: images.pixels(SampleKey(index)), indices.tolist(), batch_size)
    with evaluating(model):
        return torch.cat([model(to_float(image, device)) for image, _ in batches])


def _read(images: Images, indices: Tensor) -> Tensor:
    """Reads images (N, 3, S, S) uint8 into memory; there are few of them."""
    batches = read_ahead(lambda index: images.pixels(SampleKey(index)), indices.tolist(), 64)
    pixels = torch.cat([image for image, _ in batches])
    if len(pixels) != len(indices):
        raise InputError(f"{len(indices) - len(pixels)} of {len(indices)} images can no longer be read")
    return pixels
