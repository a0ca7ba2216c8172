"""One tiny instance of every method, with data for it.  A new method joins the suite by an entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from mmcontrast.data import (
    ClipAugment,
    Collate,
    FindMatches,
    MultiCrop,
    ToFloat,
    ToyClips,
    ToyImages,
    ToyPairs,
    ToySounds,
    ToyViews,
    TwoViews,
)
from mmcontrast.encoders import Encoder, PatchGrid, TinyConv, TinyText, ViT, WaveEncoder
from mmcontrast.methods import (
    CLIP,
    CPC,
    DINO,
    MAE,
    MAST,
    Colorization,
    ContrastiveRandomWalk,
    CorrFlow,
    DenseObjectNet,
    DINOv2,
    Inpainting,
    Jigsaw,
    Method,
    MoCo,
    MoCoV3,
    RelativePatch,
    Rotation,
    SigLIP,
    SimCLR,
    SoundCPC,
    SplitBrain,
    VideoColor,
)


@dataclass(frozen=True)
class Case:
    """How the suite builds and judges a method.

    Args:
        method: Builds a fresh, tiny instance; the suite sets the seed before it calls this.
        data: Builds a keyed dataset for the method.
        augment: Builds the module that turns a collated uint8 batch into the method's batch.
        overfit_to: Fraction of the first loss below which 100 steps of Adam on one batch must get.
        lr: Learning rate of those steps.
    """

    method: Callable[[], Method]
    data: Callable[[], "Dataset[dict[str, Any]]"]
    augment: Callable[[], nn.Module] = ToFloat
    overfit_to: float = 0.5
    lr: float = 1e-2

    def build(self, seed: int = 0) -> Method:
        """Returns the method with the weights of a seed."""
        torch.manual_seed(seed)
        return self.method()

    def batch(self, method: Method, count: int = 8) -> dict[str, Any]:
        """Returns the first samples of the data, as the method reads them."""
        data = self.data()
        batch = Collate(method.tokenizer)([data[i] for i in range(count)])
        return self.augment()(batch)


def _towers() -> tuple[TinyConv, TinyText]:
    return TinyConv(dim=8, image_size=16), TinyText(dim=8, vocabulary=64)


def _pairs() -> ToyPairs:
    return ToyPairs(length=36, size=16)


def _views() -> ToyViews:
    return ToyViews(length=36, size=(24, 32))


def _matches() -> FindMatches:
    return FindMatches(matches=40, non_matches=8, occlusion=0.01)


def _clips() -> ToyClips:
    return ToyClips(length=36, size=16)


def _tiny() -> TinyConv:
    return TinyConv(dim=8, image_size=16)


def _gray() -> TinyConv:
    return TinyConv(dim=8, in_channels=1, image_size=16)


def _vit() -> ViT:
    return ViT(image_size=16, patch_size=4, dim=16, depth=1, heads=2, positions="sincos")


def _images() -> ToyImages:
    return ToyImages(length=36, size=16)


def _sounds() -> ToySounds:
    return ToySounds(length=36, samples=320)


def _crops() -> MultiCrop:
    return MultiCrop(size=16, small_size=8, small_count=2)


def _dino(encoder: Encoder, kind: type[DINO] = DINO, **options: Any) -> DINO:
    return kind(encoder, prototypes=16, hidden=16, bottleneck=8, momentum=0.9, frozen_last_layer=0.1, **options)


CASES: dict[str, Case] = {
    "CLIP": Case(lambda: CLIP(*_towers(), dim=8), _pairs),
    "SigLIP": Case(lambda: SigLIP(*_towers(), dim=8), _pairs, overfit_to=0.7),
    "CLIP, frozen image tower": Case(lambda: CLIP(*_towers(), dim=8, trainable_image_layers=0), _pairs),
    "CLIP, micro-batches": Case(lambda: CLIP(*_towers(), dim=8, micro_batch=2), _pairs),
    "DenseObjectNet": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4), _views, _matches),
    "DenseObjectNet, triplet": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4, loss="triplet"), _views, _matches),
    "DenseObjectNet, info_nce": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4, loss="info_nce"), _views, _matches),
    "VideoColor": Case(lambda: VideoColor(TinyConv(dim=16), dim=8), _clips, ClipAugment, overfit_to=0.7),
    "CorrFlow": Case(lambda: CorrFlow(TinyConv(dim=16), dim=8, radius=2), _clips, ClipAugment, overfit_to=0.7),
    "MAST": Case(lambda: MAST(TinyConv(dim=16), dim=8, radius=2, walk_weight=0.1), _clips, ClipAugment),
    "ContrastiveRandomWalk": Case(
        lambda: ContrastiveRandomWalk(TinyConv(dim=8), dim=8, patch=8), _clips, ClipAugment, overfit_to=0.7
    ),
    "SimCLR": Case(lambda: SimCLR(_tiny(), dim=8), _images, TwoViews),
    "MoCo": Case(
        lambda: MoCo(TinyConv(dim=16), dim=8, queue_size=12, momentum=0.9, temperature=0.07, symmetric=True),
        _images,
        lambda: TwoViews(scale=(0.5, 1.0), strength=0.3),
        overfit_to=0.8,
    ),
    "MoCoV3": Case(lambda: MoCoV3(_vit(), dim=8, hidden=16, momentum=0.9), _images, TwoViews),
    "MoCoV3, convolutions": Case(
        lambda: MoCoV3(_tiny(), dim=8, hidden=16, momentum=0.9), _images, TwoViews, overfit_to=0.9
    ),
    "DINO": Case(lambda: _dino(_tiny(), head_norm=True), _images, _crops, overfit_to=0.7),
    "DINOv2": Case(lambda: _dino(_vit(), DINOv2), _images, _crops, overfit_to=0.7),
    "DINOv2, softmax": Case(  # a sharp teacher: with fewer samples than prototypes a soft one turns uniform
        lambda: _dino(
            ViT(image_size=16, patch_size=4, dim=16, depth=1, heads=2),
            DINOv2,
            centering="softmax",
            teacher_temperature=(0.01, 0.01),
        ),
        _images,
        _crops,
        overfit_to=0.7,
    ),
    "MAE": Case(lambda: MAE(_vit(), decoder_dim=16, decoder_depth=1, decoder_heads=2), _images),
    "Rotation": Case(lambda: Rotation(_tiny()), _images),
    "RelativePatch": Case(lambda: RelativePatch(_tiny(), patch=4, gap=1, jitter=1), _images),
    "RelativePatch, colors projected": Case(
        lambda: RelativePatch(_vit(), patch=4, gap=1, jitter=1, color="project"), _images
    ),
    "Jigsaw": Case(lambda: Jigsaw(_tiny(), permutations=24, channel_shift=1, hidden=16), _images),
    "Inpainting": Case(lambda: Inpainting(_tiny(), overlap=1, width=16, discriminator_width=8), _images),
    "Inpainting, center": Case(lambda: Inpainting(_tiny(), hole="center", overlap=1, adversarial=0, width=16), _images),
    "Colorization": Case(lambda: Colorization(_gray(), width=32), _images),
    "Colorization, regression": Case(lambda: Colorization(_tiny(), predict="ab", width=32), _images),
    "SplitBrain": Case(
        lambda: SplitBrain(_gray(), TinyConv(dim=8, in_channels=2, image_size=16), width=16, lightness_bins=20),
        _images,
    ),
    "CPC": Case(
        lambda: CPC(PatchGrid(_tiny(), patch=4, step=2, image_size=16), context_layers=1), _images, overfit_to=0.75
    ),
    "SoundCPC": Case(
        lambda: SoundCPC(WaveEncoder(channels=8, dim=8, kernels=(8, 4), strides=(5, 4)), steps=3),
        _sounds,
        nn.Identity,
        overfit_to=0.75,
    ),
}
