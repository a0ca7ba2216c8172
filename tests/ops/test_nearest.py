import pytest
import torch
from torch.testing import assert_close

from mmcontrast.ops import nearest as module
from mmcontrast.ops.nearest import nearest


@pytest.mark.parametrize(("rows", "cells"), [(8192, 1 << 21), (7, 1 << 21), (64, 130), (3, 1)])
def test_the_same_from_any_block_size(rows, cells, monkeypatch):
    monkeypatch.setitem(module.PRODUCTS, "cpu", cells)
    random = torch.Generator().manual_seed(0)
    queries = torch.randn(20, 5, generator=random, dtype=torch.float64)
    bank = torch.randn(101, 5, generator=random, dtype=torch.float64)
    products, places = nearest(queries, bank, 10, rows)
    expected = (queries @ bank.T).sort(1, descending=True)
    assert_close(products, expected.values[:, :10])
    assert torch.equal(places, expected.indices[:, :10])


def test_all_of_the_bank():
    products, places = nearest(torch.eye(2), torch.tensor([[0.0, 3], [1, 1], [5, 2]]), 3, rows=2)
    assert products.tolist() == [[5, 1, 0], [3, 2, 1]]
    assert places.tolist() == [[2, 1, 0], [0, 2, 1]]
