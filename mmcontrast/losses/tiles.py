"""Tiles of the logits ``scale * a @ b.T``: their order, their products, and their gradients of the operands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Edge of a tile.  On a CPU a tile and its scratch memory fit the second-level cache; a GPU needs large tiles.
_EDGE = {"cpu": 512, "cuda": 4096}


@dataclass(frozen=True)
class Pairs:
    """The roles of the pairs (i, j) of a row and a column: positives, pairs that are left out, and negatives.

    Attributes:
        positive: j - i of the positive pairs, or None if the columns hold none.
        itself: j - i of the pairs of a vector with itself, which are left out, or None if there are none.
        symmetric: Whether the columns are the rows, so that (i, j) and (j, i) are one pair, multiplied once.
        row_ids: (n,) integers; pairs whose row and column have the same id are left out.
        column_ids: (m,) integers.
    """

    positive: int | None = None
    itself: int | None = None
    symmetric: bool = False
    row_ids: Tensor | None = None
    column_ids: Tensor | None = None

    def positives(self, tile: Tensor, rows: slice, columns: slice) -> list[tuple[Tensor, slice]]:
        """Returns the positives inside a tile: (p,) views of it, each with the slice of all positives that it holds."""
        if self.positive is None:
            return []
        diagonals = [_diagonal(tile, rows, columns, self.positive)]
        if self.symmetric:
            view, which = _diagonal(tile, rows, columns, -self.positive)
            diagonals.append((view, slice(which.start - self.positive, which.stop - self.positive)))
        return [(view, which) for view, which in diagonals if len(view)]

    def hide(self, tile: Tensor, rows: slice, columns: slice) -> None:
        """Sets all pairs of a tile that are not negatives to the lowest number, whose exponential is 0."""
        lowest = torch.finfo(tile.dtype).min
        if self.row_ids is not None and self.column_ids is not None:
            tile.masked_fill_(self.row_ids[rows, None] == self.column_ids[columns], lowest)
        for view, _ in self.positives(tile, rows, columns):
            view.fill_(lowest)
        if self.itself is not None:
            _diagonal(tile, rows, columns, self.itself)[0].fill_(lowest)


def _diagonal(tile: Tensor, rows: slice, columns: slice, offset: int) -> tuple[Tensor, slice]:
    """Returns the pairs (i, i + offset) inside a tile, a (p,) view that may be empty, and the slice of i."""
    shift = rows.start + offset - columns.start
    view = tile.diagonal(min(max(shift, -tile.shape[0]), tile.shape[1]))  # (p,)
    first = rows.start + max(-shift, 0)
    return view, slice(first, first + len(view))


def tiles(n: int, m: int, symmetric: bool, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Yields the slices (rows, columns) of tiles that cover an (n, m) matrix; of a symmetric one, the upper triangle.

    Args:
        n: Number of rows.
        m: Number of columns.
        symmetric: Whether to cover the upper triangle only.
        device: Device on which the tiles are multiplied.

    Yields:
        The rows and the columns of a tile.
    """
    edge = _EDGE.get(device.type, _EDGE["cuda"])
    for i in range(0, n, edge):
        for j in range(i if symmetric else 0, m, edge):
            yield slice(i, min(i + edge, n)), slice(j, min(j + edge, m))


class Product:
    """Multiplies one tile at a time into buffers that are used again.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: Scalar factor.
        dtype: Type of the logits.
    """

    def __init__(self, a: Tensor, b: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        self.a, self.b, self.scale, self.dtype = a, b, scale, dtype
        edge = _EDGE.get(a.device.type, _EDGE["cuda"])
        self._size = min(edge, len(a)) * min(edge, len(b))
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, rows: slice, columns: slice) -> Tensor:
        """Returns (R, C) memory for a tile, the same for every tile under one name."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty(self._size, dtype=self.dtype, device=self.a.device)
        r, c = rows.stop - rows.start, columns.stop - columns.start
        return self._buffers[name][: r * c].view(r, c)

    def logits(self, rows: slice, columns: slice, out: Tensor | None = None) -> Tensor:
        """Returns the (R, C) logits of a tile, in ``out`` or in the buffer of the last tile."""
        out = self.buffer("logits", rows, columns) if out is None else out
        return _multiply(self.a[rows], self.b[columns].t(), out).mul_(self.scale)


class Gradient:
    """Sums the gradients of the operands over tiles, from the slope d loss / d logits of each.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: Scalar factor.
        needs: Whether a, b and scale need a gradient.
        symmetric: Whether b is a, and a gets the gradient of both; a tile's slope then counts (i, j) and (j, i).
        dtype: Type of the gradients.
    """

    def __init__(
        self, a: Tensor, b: Tensor, scale: Tensor, needs: Sequence[bool], symmetric: bool, dtype: torch.dtype
    ) -> None:
        self.a, self.b, self.scale, self.needs, self.symmetric = a, b, scale, needs, symmetric
        self.by_a = a.new_empty(a.shape, dtype=dtype) if needs[0] or needs[2] else None
        self.by_b = b.new_empty(b.shape, dtype=dtype) if needs[1] and not symmetric else None

    def add(self, slope: Tensor, rows: slice, columns: slice) -> None:
        """Adds a tile's (R, C) slope; the tiles come in the order of ``tiles``."""
        slope = slope.to(self.a.dtype)
        if self.by_a is not None:
            _add_product(self.by_a[rows], slope, self.b[columns], first=columns.start == 0)
            if self.symmetric and rows != columns:
                _add_product(self.by_a[columns], slope.t(), self.a[rows], first=rows.start == 0)
        if self.by_b is not None:
            _add_product(self.by_b[columns], slope.t(), self.a[rows], first=rows.start == 0)

    def finish(self, factor: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Returns the gradients of a, b and scale, for slopes that were all divided by a scalar factor before."""
        by_scale = None
        if self.by_a is not None and self.needs[2]:
            edge = _EDGE.get(self.a.device.type, _EDGE["cuda"])
            parts = [_dot(g, x) for g, x in zip(self.by_a.split(edge), self.a.split(edge), strict=True)]
            by_scale = torch.stack(parts).sum() * factor * (0.5 if self.symmetric else 1.0)
        scale = self.scale * factor
        by_a = self.by_a.mul_(scale) if self.by_a is not None and self.needs[0] else None
        by_b = self.by_b.mul_(scale) if self.by_b is not None else None
        return by_a, by_b, by_scale


def _multiply(x: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """Computes ``x @ y`` into out, at the precision of out."""
    return torch.mm(x, y, out=out) if x.dtype == out.dtype else torch.mm(x, y, out.dtype, out=out)


def _add_product(total: Tensor, x: Tensor, y: Tensor, first: bool) -> None:
    """Computes ``total += x @ y``, or ``total = x @ y`` at first, at the precision of total."""
    if x.dtype == total.dtype:
        total.addmm_(x, y, beta=0 if first else 1)
    elif first:
        _multiply(x, y, total)
    else:
        total.add_(torch.mm(x, y, total.dtype))


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Returns the scalar product of two (R, D) matrices, at the precision of x."""
    return torch.dot(x.reshape(-1), y.to(x.dtype).reshape(-1))


def row_dot(x: Tensor, y: Tensor) -> Tensor:
    """Returns the (n,) products of the rows of two (n, D) matrices, in float64."""
    products = x.to(torch.promote_types(x.dtype, torch.float32)) * y  # (n, D)
    return products.sum(1, dtype=widest(x))


def widest(x: Tensor) -> torch.dtype:
    """Returns the widest float type of a device: float64, or float32 where there is none."""
    return torch.float32 if x.device.type == "mps" else torch.float64
