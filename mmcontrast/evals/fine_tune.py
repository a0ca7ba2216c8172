"""Fine-tuning on few labels: a classifier is learned on frozen features first, then everything moves.

Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, 2022 (LP-FT).
https://arxiv.org/abs/2202.10054
"""

import copy
import math

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


class Tuned(nn.Module):
    """An encoder and a linear classifier on its pooled face: (B, 3, S, S) in [0, 1] -> (B, C) logits."""

    def __init__(self, encoder: Encoder, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(classifier.weight.shape[1], len(classifier.weight), device=classifier.weight.device)
        self.head.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})

    def forward(self, image: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.encoder(image))


def fine_tune(
    encoder: Encoder,
    start: Classifier,
    images: Images,
    places: Tensor,
    target: Tensor,
    epochs: int = 30,
    lr: float = 3e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> Tuned:
    """Trains a copy of an encoder and its classifier with AdamW, on random regions (at least 0.3) and mirror images.

    The rate rises over the first tenth of the run and falls by a cosine; weight decay 0.05 on matrices.

    Args:
        encoder: left as it is.
        start: the classifier to begin with, for features as they come.
        images: the data set.
        places: (N,) int64, its samples to learn from.
        target: (N,) int64, their classes.
        epochs: passes over the samples.
        lr: peak learning rate.
        batch_size: images at once.
        seed: of order and augmentation.
    Returns:
        The fine-tuned copy, in evaluation mode.
    """
    copied = copy.deepcopy(encoder)
    copied.freeze(None)
    model = Tuned(copied, start).train()
    device = encoder.mean.device
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    steps = epochs * math.ceil(len(places) / batch_size)
    warm = max(1, steps // 10)
    rate = lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, step - warm) / (steps - warm + 1))))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    augment = OneView(scale=(0.3, 1.0), flip=0.5)
    pixels = _read(images, places)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for chosen in torch.randperm(len(places), generator=generator).split(batch_size):
            sample_key = torch.tensor([SampleKey(int(places[i]), epoch, seed).to_int() for i in chosen], device=device)
            image = augment({"image": pixels[chosen].to(device), "sample_key": sample_key})["image"]
            if len(chosen) == 1:  # batch norm cannot learn from one sample
                model.eval()
            loss = F.cross_entropy(model(image), target[chosen.to(target.device)].to(device))
            model.train()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def classify(model: Tuned, images: Images, places: Tensor, batch_size: int) -> Tensor:
    """(N,) samples that can be read -> (N, C) logits on the model's device."""
    device = model.encoder.mean.device
    read = read_ahead(lambda place: images.pixels(SampleKey(place)), places.tolist(), batch_size)
    with evaluating(model):
        return torch.cat([model(to_float(image, device)) for image, _ in read])


def _read(images: Images, places: Tensor) -> Tensor:
    """(N, 3, S, S) uint8, kept in memory: the labels are few."""
    found = [image for image, _ in read_ahead(lambda place: images.pixels(SampleKey(place)), places.tolist(), 64)]
    pixels = torch.cat(found)
    if len(pixels) != len(places):
        raise InputError(f"{len(places) - len(pixels)} of {len(places)} images could be read before and cannot now")
    return pixels
