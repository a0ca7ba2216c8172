"""One tiny instance of every method, with data for it.  A new method joins the suite by an entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from mmcontrast.data import Collate, FindMatches, ToFloat, ToyPairs, ToyViews
from mmcontrast.encoders import TinyConv, TinyText
from mmcontrast.methods import CLIP, DenseObjectNet, Method


@dataclass(frozen=True)
class Case:
    """How the suite builds and judges a method.

    Args:
        method: a fresh, tiny instance; the suite seeds before it calls.
        data: a keyed dataset for it.
        augment: what turns a collated uint8 batch into the method's batch.
        overfit_to: share of the first loss that 100 steps of Adam on one batch must get below.
        lr: of those steps.
        splits: the loss of a batch is the mean over ranks of the losses of its parts, so that two ranks equal one.
    """

    method: Callable[[], Method]
    data: Callable[[], "Dataset[dict[str, Any]]"]
    augment: Callable[[], nn.Module] = ToFloat
    overfit_to: float = 0.5
    lr: float = 1e-2
    splits: bool = True

    def build(self, seed: int = 0) -> Method:
        """The method with the weights of a seed."""
        torch.manual_seed(seed)
        return self.method()

    def batch(self, method: Method, count: int = 8) -> dict[str, Any]:
        """The first samples of the data, as the method wants them."""
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


CASES: dict[str, Case] = {
    "CLIP": Case(lambda: CLIP(*_towers(), dim=8), _pairs),
    "CLIP, sigmoid": Case(lambda: CLIP(*_towers(), dim=8, objective="sigmoid"), _pairs, overfit_to=0.7),
    "CLIP, locked image tower": Case(lambda: CLIP(*_towers(), dim=8, lock_image=True), _pairs),
    "CLIP, micro-batches": Case(lambda: CLIP(*_towers(), dim=8, micro_batch=2), _pairs),
    "DenseObjectNet": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4), _views, _matches),
    "DenseObjectNet, triplet": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4, loss="triplet"), _views, _matches),
    "DenseObjectNet, info_nce": Case(lambda: DenseObjectNet(TinyConv(dim=8), dim=4, loss="info_nce"), _views, _matches),
}
