"""Two and three gloo processes do what one does: collectives, and all contrastive losses with their gradients."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.losses import clip_loss, info_nce, nt_xent, siglip_loss, streaming
from mmcontrast.losses import tiles as losses_tiles
from mmcontrast.ops.distributed import all_gather, all_reduce_max, all_reduce_sum, get_rank, world_size

PER_RANK, DIM = 7, 5
PATHS = {"dense": 10**6, "tiles": 0}  # logits up to which a problem is dense
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "clip": lambda a, b, scale, bias, ids: clip_loss(a, b, scale),
    "clip, repeats": lambda a, b, scale, bias, ids: clip_loss(a, b, scale, ids),
    "clip, all alike": lambda a, b, scale, bias, ids: clip_loss(a, b, scale, torch.zeros_like(ids)),
    "clip, saturated": lambda a, b, scale, bias, ids: clip_loss(a, b, 10 * scale),
    "siglip": lambda a, b, scale, bias, ids: siglip_loss(a, b, scale, bias),
    "siglip, repeats": lambda a, b, scale, bias, ids: siglip_loss(a, b, scale, bias, ids),
    "nt_xent": lambda a, b, scale, bias, ids: nt_xent(a, b, 1 / scale),
    "info_nce": lambda a, b, scale, bias, ids: info_nce(a, b, 1 / scale),
    "info_nce, fixed keys": lambda a, b, scale, bias, ids: info_nce(a, b.detach(), 1 / scale),
    "info_nce, queue": lambda a, b, scale, bias, ids: info_nce(a, b, 1 / scale, negatives=_batch(11, seed=5)[1]),
}


def _batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(count, D) unit vectors a and b, and (count,) ids of which some repeat."""
    draw = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(count, DIM, generator=draw, dtype=torch.float64), dim=1)
    b = F.normalize(a + torch.randn(count, DIM, generator=draw, dtype=torch.float64), dim=1)
    return a, b, torch.randint(0, count, (count,), generator=draw)


def _value_and_gradients(loss: Loss, a: Tensor, b: Tensor, ids: Tensor) -> list[Tensor]:
    """() loss, (n, D) gradients of a and b, () of scale and bias; zeros where the loss does not depend on it."""
    scale, bias = torch.tensor(9.0, dtype=torch.float64), torch.tensor(-4.0, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for x in (a, b, scale, bias)]
    value = loss(*inputs, ids)
    gradients = torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
    return [value.detach(), *gradients]


def _rank(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    losses_tiles._EDGE["cpu"] = 4  # several ragged tiles per rank
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    a, b, ids = (x.chunk(size)[rank] for x in _batch(size * PER_RANK))
    out: dict[str, list[Tensor]] = {}
    for path, largest in PATHS.items():
        streaming._DENSE = largest
        out |= {f"{name}, {path}": _value_and_gradients(loss, a, b, ids) for name, loss in LOSSES.items()}

    x = torch.full((2, 3), rank + 1.0, requires_grad=True)
    gathered = all_gather(x)
    upstream = (rank + 1) * torch.arange(gathered.numel(), dtype=torch.float32).view_as(gathered)
    gathered.backward(upstream)
    out["all_gather"] = [gathered.detach(), x.grad, upstream]
    y = torch.tensor([rank + 1.0, -rank], requires_grad=True)
    total = all_reduce_sum(y)
    total.backward(torch.tensor([1.0, rank + 1.0]))
    out["all_reduce"] = [total.detach(), y.grad, all_reduce_max(y)]
    torch.save(out, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3], ids=["2 ranks", "3 ranks"])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Tensor]]]:
    size: int = request.param
    folder: Path = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(_rank, (size, str(folder)), nprocs=size)
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


@pytest.mark.ranks
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", LOSSES)
def test_mean_over_ranks_is_the_loss_of_one_process(
    name: str, path: str, ranks: list[dict[str, list[Tensor]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(ranks)
    monkeypatch.setattr(streaming, "_DENSE", PATHS[path])
    value, by_a, by_b, by_scale, by_bias = _value_and_gradients(LOSSES[name], *_batch(size * PER_RANK))
    values, a_parts, b_parts, scale_parts, bias_parts = zip(*(rank[f"{name}, {path}"] for rank in ranks), strict=True)
    close = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(torch.stack(values).mean(), value, **close)
    # What DistributedDataParallel makes of the gradients of parameters is their mean over ranks.
    torch.testing.assert_close(torch.cat(a_parts) / size, by_a, **close)
    torch.testing.assert_close(torch.cat(b_parts) / size, by_b, **close)
    torch.testing.assert_close(torch.stack(scale_parts).mean(), by_scale, **close)
    torch.testing.assert_close(torch.stack(bias_parts).mean(), by_bias, **close)


@pytest.mark.ranks
def test_all_gather_concatenates_and_its_gradient_sums_over_ranks(ranks: list[dict[str, list[Tensor]]]) -> None:
    size = len(ranks)
    rows = torch.cat([torch.full((2, 3), rank + 1.0) for rank in range(size)])  # (2 size, 3)
    upstream = sum(rank["all_gather"][2] for rank in ranks)
    for rank, results in enumerate(ranks):
        gathered, gradient, _ = results["all_gather"]
        torch.testing.assert_close(gathered, rows)
        torch.testing.assert_close(gradient, upstream.chunk(size)[rank])


@pytest.mark.ranks
def test_all_reduce_sums_values_and_gradients(ranks: list[dict[str, list[Tensor]]]) -> None:
    size = len(ranks)
    triangle = size * (size + 1) / 2
    for results in ranks:
        total, gradient, highest = results["all_reduce"]
        torch.testing.assert_close(total, torch.tensor([triangle, -triangle + size]))
        torch.testing.assert_close(gradient, torch.tensor([float(size), triangle]))
        torch.testing.assert_close(highest, torch.tensor([float(size), 0.0]))


def test_one_process_passes_through() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert (get_rank(), world_size()) == (0, 1)
    assert all_gather(x) is x
    assert all_reduce_sum(x) is x
    assert torch.equal(all_reduce_max(x), x)
