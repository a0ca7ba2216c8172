"""Attention between frames: it copies colors while training, and labels while tracking.

There are two forms of one formula. ``affinity`` and ``attend`` are differentiable. ``propagate`` multiplies each small
tile of queries with the keys in its window only; it returns the same labels in a fraction of the time and memory.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmcontrast.ops.precision import at_least_float32


class Window(NamedTuple):
    """The neighborhood of a query in which keys are compared with it.

    Attributes:
        radius: Largest distance between a query and a key, in grid cells.
        shape: How the distance is measured: ``square`` is max(|dx|, |dy|), ``circle`` is the Euclidean distance.
    """

    radius: float
    shape: Literal["square", "circle"] = "square"

    def allows(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Returns True for each row and column offset (of broadcastable shapes) that lies in the window."""
        if self.shape == "circle":
            return dy * dy + dx * dx <= self.radius**2
        return torch.maximum(dy.abs(), dx.abs()) <= self.radius

    def mask(self, h: int, w: int, device: torch.device | None = None) -> Tensor:
        """Returns the window of every cell of an h x w grid.

        Args:
            h: Rows of the grid.
            w: Columns of the grid.
            device: Device of the mask.

        Returns:
            A bool tensor (N, N), N = h w: True if the query (row) may attend to the key (column).
        """
        rows, columns = torch.arange(h, device=device), torch.arange(w, device=device)
        dy = (rows[:, None] - rows)[:, None, :, None]  # (h, 1, h, 1)
        dx = (columns[:, None] - columns)[None, :, None, :]  # (1, w, 1, w)
        return self.allows(dy, dx).reshape(h * w, h * w)


def affinity(
    query: Tensor, keys: Tensor, temperature: float | Tensor, topk: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """Computes the affinity softmax(q . k / temperature) of all pairs (Vondrick et al. 2018, eq. 2).

    Args:
        query: Features (B, N, D) of the target's cells.
        keys: Features (B, M, D) of the cells of the references.
        temperature: Divisor of the products, above 0.
        topk: Number of largest products of each row that are used; None uses all.
        mask: Bool tensor (N, M), True if a key may be attended to. Each row needs one True.

    Returns:
        Affinities (B, N, M) in float32 or wider; each row sums to 1.
    """
    scores = at_least_float32(query @ keys.mT)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if topk is not None and topk < scores.shape[-1]:
        values, columns = scores.topk(topk, dim=-1)
        scores = torch.full_like(scores, float("-inf")).scatter(-1, columns, values)
    return (scores / temperature).softmax(-1)


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    temperature: float | Tensor,
    topk: int | None = None,
    window: Window | None = None,
    tile: int = 8,
) -> Tensor:
    """Copies values from reference frames by affinity; it is differentiable.

    Args:
        query: Features (B, D, h, w) of the target frame.
        keys: Features (B, R, D, h, w) of R reference frames.
        values: Values (B, R, C, h, w) to copy, such as one-hot colors, Lab values or masks.
        temperature: Divisor of the products, above 0.
        topk: Number of most similar keys that are copied from; None uses all.
        window: The keys that a query may attend to; None allows all.
        tile: Side of the square of queries that share one product if there is a window.

    Returns:
        Copied values (B, C, h, w) in float32 or wider.
    """
    h, w = query.shape[-2:]
    query_cells = query.permute(0, 2, 3, 1)  # (B, h, w, D)
    key_cells = keys.permute(0, 1, 3, 4, 2)  # (B, R, h, w, D)
    value_cells = at_least_float32(values).permute(0, 1, 3, 4, 2)  # (B, R, h, w, C)
    out = value_cells.new_empty(len(query), h, w, values.shape[2])
    for part in _tiles(h, w, window, tile, query.device):
        own = query_cells[:, *part.queries].flatten(1, 2)  # (B, n, D)
        near = key_cells[:, :, *part.keys].flatten(1, 3)  # (B, R m, D)
        mask = None if part.mask is None else part.mask.T.repeat(1, keys.shape[1])  # (n, R m)
        weights = affinity(own, near, temperature, topk, mask)  # (B, n, R m)
        copied = weights @ value_cells[:, :, *part.keys].flatten(1, 3)  # (B, n, C)
        target = out[:, *part.queries]
        target.copy_(copied.view(target.shape))
    return out.permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def propagate(
    query: Tensor,
    keys: Sequence[Tensor],
    labels: Sequence[Tensor],
    temperature: float,
    topk: int | None = None,
    window: Window | None = None,
    everywhere: int = 0,
    tile: int | None = None,
) -> Tensor:
    """Copies labels from context frames to a new frame, as ``attend`` does for one video, without gradients.

    Args:
        query: Features (h, w, D) of the new frame, float32 or bfloat16.
        keys: Features of the R context frames, each (h, w, D).
        labels: Labels of the context frames, each (h, w, C) float32.
        temperature: Divisor of the products, above 0.
        topk: Number of most similar keys of all frames that are copied from; None uses all.
        window: The keys that a query may attend to; None allows all.
        everywhere: Number of frames at the start of the context to which the window does not apply.
        tile: Side of the square of queries that share one product; None selects it by the device.

    Returns:
        Labels (h, w, C) float32 of the new frame.
    """
    h, w, dim = query.shape
    everywhere = len(keys) if window is None else min(everywhere, len(keys))
    tile = tile or (12 if query.device.type == "cpu" else 32)
    known = torch.stack(list(labels))  # (R, h, w, C)
    out = known.new_empty(h, w, known.shape[-1])
    parts = list(_tiles(h, w, window, tile, query.device))
    largest = max(_cells(part.keys) for part in parts)
    gathered = query.new_empty(largest * dim)
    near_scores = query.new_empty((len(keys) - everywhere) * largest * tile * tile)
    far_scores = query.new_empty(everywhere * h * w * tile * tile)
    for part in parts:
        own = query[part.queries].reshape(-1, dim).T  # (D, n)
        m, n = _cells(part.keys), own.shape[1]
        far = far_scores[: everywhere * h * w * n].view(everywhere, h * w, n)
        for scores, frame in zip(far, keys[:everywhere], strict=True):
            torch.mm(frame.reshape(h * w, dim), own, out=scores)
        near = near_scores[: (len(keys) - everywhere) * m * n].view(-1, m, n)
        for scores, frame in zip(near, keys[everywhere:], strict=True):
            region = frame[part.keys]
            torch.mm(gathered[: m * dim].view(region.shape).copy_(region).view(m, dim), own, out=scores)
        copy = _copy_all if topk is None else functools.partial(_copy_top, topk=topk)
        out[part.queries] = copy(far, near, part, known, temperature).view(out[part.queries].shape)
    return out


class _Tile(NamedTuple):
    """A tile of n queries, the m keys around it, and the mask of the keys that each query may attend to."""

    queries: tuple[slice, slice]
    keys: tuple[slice, slice]
    mask: Tensor | None  # (m, n) bool


def _cells(area: tuple[slice, slice]) -> int:
    """Returns the number of cells in a rectangle of a grid."""
    rows, columns = area
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


@functools.lru_cache(maxsize=64)
def _tile_mask(
    queries: tuple[int, int], keys: tuple[int, int, int, int], window: Window, device: torch.device
) -> Tensor:
    """Returns a bool mask (m, n) for a tile of this size; the key rows and columns are relative to its corner."""
    rows, columns = (torch.arange(size, device=device) for size in queries)
    key_rows, key_columns = torch.arange(*keys[:2], device=device), torch.arange(*keys[2:], device=device)
    dy = (key_rows[:, None] - rows)[:, None, :, None]  # (key rows, 1, rows, 1)
    dx = (key_columns[:, None] - columns)[None, :, None, :]  # (1, key columns, 1, columns)
    return window.allows(dy, dx).flatten(2).flatten(0, 1)


def _tiles(h: int, w: int, window: Window | None, side: int, device: torch.device) -> Iterator[_Tile]:
    """Yields the tiles of an h x w grid, row by row."""
    reach = max(h, w) if window is None else int(window.radius)
    for top in range(0, h, side):
        for left in range(0, w, side):
            bottom, right = min(top + side, h), min(left + side, w)
            rows = slice(max(0, top - reach), min(h, bottom + reach))
            columns = slice(max(0, left - reach), min(w, right + reach))
            relative = (rows.start - top, rows.stop - top, columns.start - left, columns.stop - left)
            mask = None if window is None else _tile_mask((bottom - top, right - left), relative, window, device)
            yield _Tile((slice(top, bottom), slice(left, right)), (rows, columns), mask)


def _copy_all(far: Tensor, near: Tensor, part: _Tile, known: Tensor, temperature: float) -> Tensor:
    """Returns (n, C) labels by a softmax over all keys: scores (F, h w, n) and (R - F, m, n), labels (R, h, w, C)."""
    near = near if part.mask is None else near.masked_fill(~part.mask, float("-inf"))
    weights = (torch.cat([far.flatten(0, 1), near.flatten(0, 1)]).float() / temperature).softmax(0)  # (M, n)
    labels = torch.cat([known[: len(far)].flatten(0, 2), known[len(far) :, *part.keys].flatten(0, 2)])  # (M, C)
    return weights.T @ labels


def _copy_top(far: Tensor, near: Tensor, part: _Tile, known: Tensor, temperature: float, topk: int) -> Tensor:
    """Returns (n, C) labels as ``_copy_all`` does, by a softmax over the best keys of all frames."""
    h, w = known.shape[1:3]
    width = part.keys[1].stop - part.keys[1].start
    best = []
    if len(near):
        values, frame, cell = _best(near, part.mask, topk)
        y, x = part.keys[0].start + cell // width, part.keys[1].start + cell % width
        best.append((values, ((frame + len(far)) * h + y) * w + x))
    if len(far):
        values, row, column = _best(far.view(-1, w, far.shape[2]), None, topk)
        best.append((values, row * w + column))
    values, cells = (torch.cat(pieces) for pieces in zip(*best, strict=True))
    values, order = values.topk(min(topk, len(values)), dim=0)  # (k, n)
    weights = (values.float() / temperature).softmax(0)
    return torch.einsum("kn,knc->nc", weights, known.flatten(0, 2)[cells.gather(0, order)])


def _best(scores: Tensor, mask: Tensor | None, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the k largest of scores (G, m, n) over the first two axes: values (k, n), and their indices in G and m.

    The maximum over G is computed first; the k largest scores lie in the k columns that have the largest maxima.
    """
    peaks = scores.amax(0)  # (m, n)
    if mask is not None:
        peaks = peaks.masked_fill_(~mask, float("-inf"))
    peaks, columns = peaks.topk(min(topk, len(peaks)), dim=0)  # (k, n)
    candidates = scores.gather(1, columns.expand(len(scores), -1, -1))  # (G, k, n)
    candidates = candidates.masked_fill(peaks.isneginf(), float("-inf")).flatten(0, 1)
    values, index = candidates.topk(min(topk, len(candidates)), dim=0)
    return values, index // len(columns), columns.gather(0, index % len(columns))
