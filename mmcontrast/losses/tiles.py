"""Tiles of the logits ``scale * a @ b.T``: their order, their products, and the gradient they leave on the operands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Edge of a tile. On a CPU a tile and its scratch fit the second-level cache; a GPU needs large ones to be busy.
_EDGE = {"cpu": 512, "cuda": 4096}


@dataclass(frozen=True)
class Pairs:
    """Which pairs (i, j) of a row and a column play which part; the rest are negatives.

    Attributes:
        positive: j - i of the positive pairs, or None if the columns hold none.
        itself: j - i of the pairs of a vector with itself, left out, or None if there are none.
        symmetric: the columns are the rows, so (i, j) and (j, i) are one pair, multiplied once.
        row_ids: (n,) integers; pairs whose row and column have the same id are no negatives.
        column_ids: (m,) integers.
    """

    positive: int | None = None
    itself: int | None = None
    symmetric: bool = False
    row_ids: Tensor | None = None
    column_ids: Tensor | None = None

    def positives(self, tile: Tensor, rows: slice, columns: slice) -> list[tuple[Tensor, slice]]:
        """The positives inside a tile: each a (p,) view of it and which of all positives they are."""
        if self.positive is None:
            return []
        found = [_diagonal(tile, rows, columns, self.positive)]
        if self.symmetric:
            view, which = _diagonal(tile, rows, columns, -self.positive)
            found.append((view, slice(which.start - self.positive, which.stop - self.positive)))
        return [(view, which) for view, which in found if len(view)]

    def hide(self, tile: Tensor, rows: slice, columns: slice) -> None:
        """Set all pairs of a tile that are no negatives to the lowest number, whose exponential is 0."""
        lowest = torch.finfo(tile.dtype).min
        if self.row_ids is not None and self.column_ids is not None:
            tile.masked_fill_(self.row_ids[rows, None] == self.column_ids[columns], lowest)
        for view, _ in self.positives(tile, rows, columns):
            view.fill_(lowest)
        if self.itself is not None:
            _diagonal(tile, rows, columns, self.itself)[0].fill_(lowest)


def _diagonal(tile: Tensor, rows: slice, columns: slice, offset: int) -> tuple[Tensor, slice]:
    """The pairs (i, i + offset) inside a tile: a (p,) view, empty if there are none, and the slice of i."""
    shift = rows.start + offset - columns.start
    view = tile.diagonal(min(max(shift, -tile.shape[0]), tile.shape[1]))  # (p,)
    first = rows.start + max(-shift, 0)
    return view, slice(first, first + len(view))


def tiles(n: int, m: int, symmetric: bool, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) slices that cover an (n, m) matrix, or the upper triangle of tiles of a symmetric one."""
    edge = _EDGE.get(device.type, _EDGE["cuda"])
    for i in range(0, n, edge):
        for j in range(i if symmetric else 0, m, edge):
            yield slice(i, min(i + edge, n)), slice(j, min(j + edge, m))


class Product:
    """Multiplies one tile at a time into buffers that are used again.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: () factor.
        dtype: of the logits.
    """

    def __init__(self, a: Tensor, b: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        self.a, self.b, self.scale, self.dtype = a, b, scale, dtype
        edge = _EDGE.get(a.device.type, _EDGE["cuda"])
        self._size = min(edge, len(a)) * min(edge, len(b))
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, rows: slice, columns: slice) -> Tensor:
        """(R, C) memory for a tile, the same for every tile under one name."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty(self._size, dtype=self.dtype, device=self.a.device)
        r, c = rows.stop - rows.start, columns.stop - columns.start
        return self._buffers[name][: r * c].view(r, c)

    def logits(self, rows: slice, columns: slice, out: Tensor | None = None) -> Tensor:
        """(R, C) logits of a tile, in ``out`` or in the buffer of the last tile."""
        out = self.buffer("logits", rows, columns) if out is None else out
        return _multiply(self.a[rows], self.b[columns].t(), out).mul_(self.scale)


class Gradient:
    """Sums what each tile's slope, d loss / d logits, adds to the gradients of the operands.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: () factor.
        needs: which of a, b and scale need a gradient.
        symmetric: b is a, and only a gets the gradient of both; a tile's slope counts (i, j) and (j, i).
        dtype: of the gradients.
    """

    def __init__(
        self, a: Tensor, b: Tensor, scale: Tensor, needs: Sequence[bool], symmetric: bool, dtype: torch.dtype
    ) -> None:
        self.a, self.b, self.scale, self.needs, self.symmetric = a, b, scale, needs, symmetric
        self.by_a = a.new_empty(a.shape, dtype=dtype) if needs[0] or needs[2] else None
        self.by_b = b.new_empty(b.shape, dtype=dtype) if needs[1] and not symmetric else None

    def add(self, slope: Tensor, rows: slice, columns: slice) -> None:
        """Add a tile's (R, C) slope; tiles come in the order of `tiles`."""
        slope = slope.to(self.a.dtype)
        if self.by_a is not None:
            _add_product(self.by_a[rows], slope, self.b[columns], first=columns.start == 0)
            if self.symmetric and rows != columns:
                _add_product(self.by_a[columns], slope.t(), self.a[rows], first=rows.start == 0)
        if self.by_b is not None:
            _add_product(self.by_b[columns], slope.t(), self.a[rows], first=rows.start == 0)

    def finish(self, unit: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of a, b and scale, where all slopes were given in multiples of a () unit."""
        by_scale = None
        if self.by_a is not None and self.needs[2]:
            edge = _EDGE.get(self.a.device.type, _EDGE["cuda"])
            parts = [_dot(g, x) for g, x in zip(self.by_a.split(edge), self.a.split(edge), strict=True)]
            by_scale = torch.stack(parts).sum() * unit * (0.5 if self.symmetric else 1.0)
        factor = self.scale * unit
        by_a = self.by_a.mul_(factor) if self.by_a is not None and self.needs[0] else None
        by_b = self.by_b.mul_(factor) if self.by_b is not None else None
        return by_a, by_b, by_scale


def _multiply(x: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """``x @ y`` into out, summed at out's precision."""
    return torch.mm(x, y, out=out) if x.dtype == out.dtype else torch.mm(x, y, out.dtype, out=out)


def _add_product(total: Tensor, x: Tensor, y: Tensor, first: bool) -> None:
    """``total += x @ y``, or ``=`` at first, summed at total's precision."""
    if x.dtype == total.dtype:
        total.addmm_(x, y, beta=0 if first else 1)
    elif first:
        _multiply(x, y, total)
    else:
        total.add_(torch.mm(x, y, total.dtype))


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """() sum of the products of two (R, D) matrices, at the precision of x."""
    return torch.dot(x.reshape(-1), y.to(x.dtype).reshape(-1))
