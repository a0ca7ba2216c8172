"""Two and three processes, each with its share of a batch, train as one with the whole: loss, gradients, 20 steps."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mmcontrast.ops.distributed import get_rank, world_size
from tests.conformance.cases import CASES, Case

STEPS, BATCH = 20, 12


def part_of(batch: dict[str, Any], rank: int, size: int) -> dict[str, Any]:
    """A rank's share of a batch: every tensor, and every tensor in a list, cut along its first axis."""

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.chunk(size)[rank]
        return [cut(v) for v in value] if isinstance(value, list) else value

    return {name: cut(value) for name, value in batch.items()}


def wide(value: Any) -> Any:
    """Floats to float64, in lists as well."""
    if isinstance(value, list):
        return [wide(v) for v in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def train(case: Case) -> dict[str, Tensor]:
    """20 steps of SGD in float64, gradients averaged over ranks as DistributedDataParallel does."""
    rank, size = get_rank(), world_size()
    method = case.build().double()
    batch = part_of({name: wide(value) for name, value in case.batch(method, BATCH).items()}, rank, size)
    trainable = {name: p for name, p in method.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trainable.values(), lr=case.lr, momentum=0.9)
    out: dict[str, Tensor] = {}
    for step in range(STEPS):
        torch.manual_seed(step)
        loss = method(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        mean_loss = loss.detach().clone()
        for value in [mean_loss, *(p.grad for p in trainable.values())]:
            if size > 1:
                dist.all_reduce(value)
            value /= size
        if step == 0:
            out["loss"] = mean_loss
            out |= {f"gradient of {name}": p.grad.clone() for name, p in trainable.items()}
        method.before_step(step / STEPS)
        optimizer.step()
        method.after_step((step + 1) / STEPS)
    return out | {f"trained {name}": value for name, value in method.state_dict().items()}


def work(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    torch.save({name: train(CASES[name]) for name in CASES}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)], ids="{} ranks".format)
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Tensor]]]:
    size: int = request.param
    folder: Path = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (size, str(folder)), nprocs=size)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


@cache
def alone(name: str) -> dict[str, Tensor]:
    return train(CASES[name])


@pytest.mark.ranks
@pytest.mark.parametrize("name", CASES)
def test_ranks_together_equal_one(name: str, ranks: list[dict[str, dict[str, Tensor]]]):
    expected = alone(name)
    for found in ranks:
        assert found[name].keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[name][key], value, rtol=1e-6, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")
