"""Nearest neighbors by inner product, computed block by block."""

import torch
from torch import Tensor

BANK_ROWS = 1 << 15  # rows of the bank that are moved to the device at once
PRODUCTS = {"cpu": 1 << 22, "cuda": 1 << 27}  # products that are held at once


def nearest(queries: Tensor, bank: Tensor, k: int, rows: int = BANK_ROWS) -> tuple[Tensor, Tensor]:
    """Finds the k rows of ``bank`` that have the largest inner products with each query.

    The bank is moved to the device of the queries block by block, so it may be larger than the memory of a GPU. If
    several rows tie for the last rank, any of them may be returned.

    Args:
        queries: Vectors (N, D).
        bank: Vectors (M, D) on any device, with M >= k.
        k: Number of neighbors.
        rows: Number of rows of the bank in a block.

    Returns:
        The inner products (N, k), the largest first, and the row numbers (N, k) int64 in the bank.

    >>> nearest(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), k=1)
    (tensor([[1.]]), tensor([[1]]))
    """
    best = queries.new_full((len(queries), k), -torch.inf)
    indices = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
    step = max(1, PRODUCTS.get(queries.device.type, PRODUCTS["cpu"]) // min(rows, len(bank)))
    for start in range(0, len(bank), rows):
        block = bank[start : start + rows].to(queries.device)
        for low in range(0, len(queries), step):
            part = slice(low, low + step)
            products, columns = (queries[part] @ block.T).topk(min(k, len(block)))  # (b, <= k)
            merged = torch.cat([best[part], products], 1)
            candidates = torch.cat([indices[part], columns + start], 1)
            best[part], order = merged.topk(k)
            indices[part] = candidates.gather(1, order)
    return best, indices
