"""Nearest neighbors by inner product, the bank going by in blocks."""

import torch
from torch import Tensor

ROWS = 1 << 15  # of the bank at once
CELLS = {"cpu": 1 << 22, "cuda": 1 << 27}  # products at once


def nearest(queries: Tensor, bank: Tensor, k: int, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """The k rows of ``bank`` with the largest inner products, best first.

    The bank passes once, block by block, to where the queries are, so that it may be larger than a GPU's memory.
    Which rows are taken when several are equally near at place k is left open.

    Args:
        queries: (N, D).
        bank: (M, D) on any device, M >= k.
        k: neighbors.
        rows: rows of the bank at once.
    Returns:
        (N, k) inner products, and (N, k) int64 rows of the bank.
    """
    best = queries.new_full((len(queries), k), -torch.inf)
    places = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
    step = max(1, CELLS.get(queries.device.type, 1 << 22) // min(rows, len(bank)))
    for start in range(0, len(bank), rows):
        block = bank[start : start + rows].to(queries.device)
        for low in range(0, len(queries), step):
            part = slice(low, low + step)
            products, found = (queries[part] @ block.T).topk(min(k, len(block)))  # (b, <= k)
            merged = torch.cat([best[part], products], 1)
            candidates = torch.cat([places[part], found + start], 1)
            best[part], order = merged.topk(k)
            places[part] = candidates.gather(1, order)
    return best, places
