import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

import mmcontrast as mmc
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.train.data import Data

RED = Image.new("RGB", (40, 32), (255, 0, 0))


@pytest.mark.parametrize(
    ("sample", "entries"),
    [
        (RED, {}),
        ((RED, 3), {"label": 3}),
        ((RED, "a red square"), {"text": "a red square"}),
        ((RED, ["red", "red"]), {"text": "red"}),
        ({"img": RED.convert("L"), "fine_label": 3, "coarse_label": 1}, {"label": 3}),
        ({"image": np.asarray(RED), "caption": "red"}, {"text": "red"}),
        ((torch.zeros(3, 32, 40, dtype=torch.uint8), torch.tensor(3)), {"label": 3}),
    ],
)
def test_samples_of_other_libraries(sample, entries: dict):
    got = mmc.AnyDataset([sample] * 3)[1]
    assert got["image"].shape == (3, 32, 32)
    assert got["image"].dtype == torch.uint8
    assert {k: v for k, v in got.items() if k not in ("image", "sample_key")} == entries
    assert got["sample_key"] == SampleKey(1).to_int()


def test_random_transforms_follow_the_key():
    class Drawn:
        __len__ = lambda self: 4
        __getitem__ = lambda self, i: torch.rand(3, 2, 2) + random.random() + np.random.rand()  # noqa: NPY002

    data = mmc.AnyDataset(Drawn(), size=2)
    first, again, other = (data[SampleKey(1, epoch)]["image"] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_cannot_be_a_data_set_is_said():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(InputError, match="Stream is a stream without length"):
        Data(Stream())
    with pytest.raises(InputError, match="has a str as image"):
        Data([("photo.jpg", 1)])
    with pytest.raises(InputError, match="has no samples"):
        Data([])


def test_fit_takes_lists_tensors_and_paths_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(8):
        Image.effect_noise((20, 20), 60).save(tmp_path / "photos" / f"{number}.png")
    before = set(tmp_path.rglob("*"))
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "workers": 0, "max_epochs": 1, "batch_size": 4}
    for data in ([(RED, 1)] * 8, TensorDataset(torch.rand(8, 3, 16, 16)), "photos"):
        trainer = mmc.fit(mmc.Rotation(mmc.TinyConv(dim=8)), data, **quiet)
        assert trainer.global_step == 2
    assert set(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match="nowhere"):
        mmc.fit(mmc.Rotation(mmc.TinyConv(dim=8)), "nowhere", **quiet)


def test_a_limit_is_a_choice_that_stays_the_same():
    data = Data(mmc.ToyImages(length=50, size=8), limit=5)
    assert len(data.train) == 5
    again = Data(mmc.ToyImages(length=50, size=8), limit=5)
    assert all(torch.equal(data.train[i]["image"], again.train[i]["image"]) for i in range(5))
    assert len(Data(mmc.ToyImages(length=3, size=8), limit=5).train) == 3
