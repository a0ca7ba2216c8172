"""Batches, the account of corrupt samples, mixtures and toy data."""

import numpy as np
import pytest
import torch

from mmcontrast.data import Collate, CorruptCount, KeyedSampler, Mixture, ToyImages, ToyPairs
from mmcontrast.data.io.decode import ImageError
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

GOOD = {
    "image": torch.zeros(3, 2, 2, dtype=torch.uint8),
    "label": 3,
    "text": "a",
    "sample_key": 5,
    "xy": np.ones((2, 2)),
}
BAD = {"corrupt": "x.jpg: is empty", "sample_key": 6}


def test_stacks_drops_and_reports():
    batch = Collate()([GOOD, BAD, {**GOOD, "sample_key": 2**62}])
    assert batch["image"].shape == (2, 3, 2, 2)
    assert batch["xy"].shape == (2, 2, 2)
    assert batch["sample_key"].tolist() == [5, 2**62]
    assert batch["label"].dtype == torch.int64
    assert (batch["text"], batch["corrupt"]) == (["a", "a"], ["x.jpg: is empty"])


def test_text_becomes_tokens():
    batch = Collate(lambda texts: torch.tensor([[len(text)] for text in texts]))([GOOD, {**GOOD, "text": "abc"}])
    assert batch["tokens"].tolist() == [[1], [3]]
    assert "text" not in batch


def test_places_can_be_filled_so_that_ranks_stay_equal():
    batch = Collate(keep_size=True)([BAD, GOOD, {**GOOD, "sample_key": 7}, BAD])
    assert batch["sample_key"].tolist() == [5, 7, 5, 7]
    assert len(batch["corrupt"]) == 2


def test_a_batch_of_corrupt_samples_says_why():
    with pytest.raises(ImageError, match=r"none of the 2 images.*x\.jpg: is empty"):
        Collate()([BAD, BAD])


def test_samples_that_do_not_match_are_named():
    with pytest.raises(InputError, match="differ in what they hold: label"):
        Collate()([GOOD, {name: value for name, value in GOOD.items() if name != "label"}])


def test_too_many_corrupt_samples_stop():
    count, good, bad = CorruptCount(), [GOOD] * 99, [BAD]
    for _ in range(10):
        count.update(Collate()(good + bad))
    assert (count.seen, count.corrupt) == (1000, 10)
    with pytest.raises(ImageError, match=r"11 of 1001 images could not be read, more than 1%: x\.jpg"):
        count.update({"sample_key": [], "corrupt": ["x.jpg"]})
    few = CorruptCount()
    few.update({"sample_key": [0] * 20, "corrupt": ["x"] * 5})
    with pytest.raises(ImageError, match="6 of 26"):
        few.update({"sample_key": [], "corrupt": ["x"]})


def test_a_mixture_without_weights_is_the_concatenation():
    data = Mixture([ToyPairs(5), ToyPairs(3)])
    assert len(data) == 8
    assert torch.equal(data[6]["image"], ToyPairs(3)[1]["image"])
    assert data.captions(6) == ToyPairs(3).captions(1)
    assert len({data[i]["sample_key"] for i in range(8)}) == 8
    with pytest.raises(IndexError):
        data[8]


class Seen(ToyImages):
    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, object]:
        return {
            "index": SampleKey.of(sample_key).index,
            "sample_key": SampleKey.of(sample_key).to_int(),
            "source": self.size,
        }


def test_a_weighted_mixture_keeps_shares_and_walks_through_its_sources():
    data = Mixture([Seen(40, 8), Seen(7, 9)], weights=[1, 3], length=20)
    walked: list[int] = []
    keys = set()
    for epoch in range(8):
        sampler = KeyedSampler(data, seed=3)
        sampler.set_epoch(epoch)
        samples = [data[key] for key in sampler]
        assert sum(sample["source"] == 9 for sample in samples) == 15
        walked += [sample["index"] for sample in samples if sample["source"] == 8]
        keys |= {sample["sample_key"] for sample in samples}
    assert sorted(walked) == list(range(40))  # 8 epochs of 5: every sample once
    assert walked != sorted(walked)
    assert len(keys) == 8 * 20  # what comes again is augmented anew
    with pytest.raises(InputError, match="other images in each epoch"):
        data.captions(0)


@pytest.mark.parametrize("options", [{"weights": [1]}, {"weights": [1, -1]}, {"weights": [0, 0]}, {"length": 3}])
def test_impossible_mixtures_are_refused(options: dict[str, object]):
    with pytest.raises(InputError, match="weights"):
        Mixture([ToyImages(2), ToyImages(2)], **options)


def test_toy_data_is_a_function_of_the_key_and_can_be_told_apart():
    data = ToyImages(400, 16)
    assert torch.equal(data[7]["image"], data[SampleKey(7, 5, 2)]["image"])
    assert data[21]["label"] == 1
    images = torch.stack([data[i]["image"] for i in range(400)]).float().flatten(1)
    labels = torch.tensor([data[i]["label"] for i in range(400)])
    nearest = torch.cdist(images[200:], images[:200]).argmin(1)
    assert (labels[:200][nearest] == labels[200:]).float().mean() > 0.3  # chance is 0.05
    pairs = ToyPairs(40, 16)
    assert pairs[3]["text"] in pairs.captions(3)
    assert len({pairs[SampleKey(3, epoch)]["text"] for epoch in range(20)}) == 3
    with pytest.raises(IndexError):
        data[400]
    with pytest.raises(InputError, match="at least 1"):
        ToyImages(0)
