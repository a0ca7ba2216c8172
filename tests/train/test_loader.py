import os
import signal
import time

import pytest
import torch

from mmcontrast.data import Collate, ToyPairs
from mmcontrast.data.io.decode import ImageError
from mmcontrast.data.sampler import KeyedSampler, SampleKey
from mmcontrast.encoders import TinyText
from mmcontrast.errors import InputError
from mmcontrast.train.data import Data
from mmcontrast.train.errors import TrainingError
from mmcontrast.train.fitting import fit
from mmcontrast.train.loader import Loader
from tests.train.tiny import Points, Regress, train


def loader(batch_size: int = 4, rank: int = 0, world: int = 1, workers: int = 0, seed: int = 0) -> Loader:
    sampler = KeyedSampler(Points(26), rank, world, seed=seed)
    return Loader(Points(26), sampler, batch_size, workers, Collate(), drop_last=True, timeout=60)


def order(of: Loader) -> list[int]:
    return [index for batch in of for index in batch["index"].tolist()]


def test_goes_on_after_any_batch():
    whole = loader()
    whole.sampler.set_epoch(3)
    expected = order(whole)
    assert len(expected) == 24
    for stop in range(1, 6):
        first, second = loader(), loader()
        first.sampler.set_epoch(3)
        second.sampler.set_epoch(3)
        batches = iter(first)
        drawn = [index for _ in range(stop) for index in next(batches)["index"].tolist()]
        second.load_state_dict(first.state_dict())
        assert drawn + order(second) == expected


def test_a_finished_epoch_is_followed_by_a_whole_one():
    first, second = loader(), loader()
    order(first)
    second.load_state_dict(first.state_dict())
    second.sampler.set_epoch(1)
    assert len(order(second)) == 24


def test_goes_on_at_another_batch_size_and_number_of_ranks():
    expected = order(loader())
    first = loader()
    batches = iter(first)
    for _ in range(3):
        next(batches)
    ranks = [loader(batch_size=2, rank=rank, world=2) for rank in range(2)]
    for one in ranks:
        one.load_state_dict(first.state_dict())
    interleaved = [i for pair in zip(*map(order, ranks), strict=True) for i in pair]
    assert interleaved == expected[12:]


def test_epochs_and_seeds_differ():
    later = loader()
    later.sampler.set_epoch(1)
    orders = [order(loader()), order(loader(seed=1)), order(later)]
    assert len({tuple(o) for o in orders}) == 3


def test_workers_draw_the_same_batches():
    plain, forked = loader(), loader(workers=2)
    for epoch in range(2):
        for one in (plain, forked):
            one.sampler.set_epoch(epoch)
        for a, b in zip(plain, forked, strict=True):
            assert torch.equal(a["x"], b["x"])
            assert torch.equal(a["sample_key"], b["sample_key"])


class Faulty(Points):
    def __init__(self, fault: str) -> None:
        super().__init__(32)
        self.fault = fault

    def __getitem__(self, sample_key):
        if SampleKey.of(sample_key).index == 5:
            if self.fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return super().__getitem__(sample_key)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("dies", r"data worker [01] died \(.*(killed by signal|exited unexpectedly).*out of memory"),
        ("hangs", r"data worker [01] gave no batch within 1 s.*network file system"),
    ],
)
def test_a_worker_that_fails_is_reported_in_time(fault: str, message: str, tmp_path):
    start = time.monotonic()
    with pytest.raises(TrainingError, match=message):
        train(tmp_path, data=Faulty(fault), workers=2, timeout=1)
    assert time.monotonic() - start < 60


def test_unreadable_samples_are_counted_and_left_out(tmp_path):
    method = train(tmp_path, data=Points(32, corrupt=(3, 17)))
    assert sum(map(len, method.seen)) == 30
    assert "data/corrupt" in (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert (tmp_path / "metrics.csv").read_text().splitlines()[-1].split(",")[-1] == "2.0"


def test_too_many_unreadable_samples_stop_the_run_and_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"more than 1%: image-\d+\.jpg is truncated"):
        train(tmp_path, data=Points(320, corrupt=tuple(range(0, 320, 8))))


def test_the_count_of_unreadable_samples_outlives_a_resume(tmp_path):
    train(tmp_path, data=Points(32, corrupt=(3,)), max_epochs=2, max_steps=4)
    train(tmp_path, data=Points(32, corrupt=(3,)), max_epochs=2, resume=True)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[-1].split(",")[-1] == "2.0"


def test_fewer_samples_than_a_batch(tmp_path):
    with pytest.raises(InputError, match="the training set has 5 samples, fewer than one batch of 8"):
        train(tmp_path, data=Points(5))


def test_texts_become_tokens_and_images_floats(tmp_path):
    class Look(Regress):
        tokenizer = TinyText(dim=2).tokenizer

        def forward(self, batch):
            assert batch["image"].dtype == torch.float32
            assert 0.5 < batch["image"].max() <= 1
            assert torch.equal(batch["tokens"][:, 0], self.tokenizer(["a"] * 8)[0].expand(8)) or len(batch["tokens"])
            assert "text" not in batch
            return super().forward({"x": batch["image"][:, 0, 0, :4], "index": batch["sample_key"]})

    train(tmp_path, Look(), ToyPairs(16, size=16))


def test_validation_sees_the_same_keys_in_every_epoch(tmp_path):
    seen = []

    class Look(Regress):
        def forward(self, batch):
            if not self.training:
                seen.append(batch["sample_key"].tolist())
            return super().forward(batch)

    data = Data(Points(16), val=Points(12), batch_size=8, workers=0)
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "num_sanity_val_steps": 0}
    fit(Look(), data, out=tmp_path, max_epochs=2, **quiet)
    assert seen == [[SampleKey(i).to_int() for i in range(8)], [SampleKey(i).to_int() for i in range(8, 12)]] * 2
