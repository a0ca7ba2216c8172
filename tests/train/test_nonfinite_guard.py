import csv

import pytest
import torch

from mmcontrast.train.errors import TrainingError
from tests.train.tiny import Points, Regress, train

each_fault = pytest.mark.parametrize("fault", ["loss", "gradient"])


@each_fault
def test_three_bad_steps_are_skipped_without_a_trace(fault: str, tmp_path):
    method = train(tmp_path, Regress(bad=(1, 4, 5), fault=fault), max_epochs=2)
    assert all(value.isfinite().all() for value in method.state_dict().values())
    assert len(method.progress) == 8 - 3  # no after_step for a skipped one
    assert int(method.line[1].num_batches_tracked) == 8 - 3
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["train/skipped"] for row in rows] == ["", "1.0", "1.0", "1.0", "2.0", "3.0", "3.0", "3.0"]


@each_fault
def test_the_fourth_stops_with_step_and_samples_and_leaves_the_checkpoint(fault: str, tmp_path):
    method = Regress(bad=(4, 5, 6, 7), fault=fault)
    with pytest.raises(TrainingError) as caught:
        train(tmp_path, method, max_epochs=3)
    message = str(caught.value)
    assert f"the {fault} was not finite at step 7 (epoch 1), after 3 earlier steps" in message
    assert all(f"sample {index}" in message for index in method.seen[7])
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_the_count_outlives_a_resume(tmp_path):
    train(tmp_path, Regress(bad=(0, 1, 2)), max_epochs=2, max_steps=4)
    with pytest.raises(TrainingError, match="after 3 earlier steps"):
        train(tmp_path, Regress(bad=(1,)), max_epochs=2, resume=True)


def test_one_bad_micro_batch_spoils_the_step_and_all_its_samples_are_named(tmp_path):
    method = Regress(bad=(0,))
    with pytest.raises(TrainingError) as caught:
        train(tmp_path, method, accumulate_grad_batches=2, max_skipped=0)
    assert "the loss was not finite at step 0" in str(caught.value)
    assert " and 8 more" in str(caught.value)


def test_samples_go_by_the_name_that_the_data_gives_them(tmp_path):
    class Named(Points):
        def name(self, index: int) -> str:
            return f"shard.tar: {index:05}.jpg"

    with pytest.raises(TrainingError, match=r"shard\.tar: 000\d\d\.jpg"):
        train(tmp_path, Regress(bad=(0,)), Named(), max_skipped=0)
