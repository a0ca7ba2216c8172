"""The attention that copies colors while training is the attention that copies labels when tracking.

Two forms of one formula: ``affinity`` and ``attend`` carry gradients; ``propagate`` multiplies each small tile of
queries with only the keys that its window reaches, and gives the same labels in a small part of the time and memory.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Window(NamedTuple):
    """The neighborhood of its own place in which a query looks for keys.

    Attributes:
        radius: largest distance allowed, in grid cells.
        shape: ``square`` measures max(|dx|, |dy|), ``circle`` the Euclidean distance.
    """

    radius: float
    shape: Literal["square", "circle"] = "square"

    def allows(self, dy: Tensor, dx: Tensor) -> Tensor:
        """Row and column offsets of broadcastable shapes -> bool."""
        if self.shape == "circle":
            return dy * dy + dx * dx <= self.radius**2
        return torch.maximum(dy.abs(), dx.abs()) <= self.radius

    def mask(self, h: int, w: int, device: torch.device | None = None) -> Tensor:
        """(N, N) bool over all cells of a grid, N = h w: True where query (row) may look at key (column)."""
        rows, columns = torch.arange(h, device=device), torch.arange(w, device=device)
        dy = (rows[:, None] - rows)[:, None, :, None]  # (h, 1, h, 1)
        dx = (columns[:, None] - columns)[None, :, None, :]  # (1, w, 1, w)
        return self.allows(dy, dx).reshape(h * w, h * w)


def affinity(
    query: Tensor, keys: Tensor, temperature: float | Tensor, topk: int | None = None, mask: Tensor | None = None
) -> Tensor:
    """Row-stochastic affinity softmax(q . k / temperature), the dense formula (Vondrick et al. 2018, eq. 2).

    Args:
        query: (B, N, D) features of the target's cells.
        keys: (B, M, D) features of the references' cells.
        temperature: divides the products; > 0.
        topk: keep only the largest products of each row.
        mask: (N, M) bool, True where a key may be looked at; each row needs one.
    Returns:
        (B, N, M) float32 (or float64), rows sum to one.
    """
    scores = _precise(query @ keys.mT)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if topk is not None and topk < scores.shape[-1]:
        values, where = scores.topk(topk, dim=-1)
        scores = torch.full_like(scores, float("-inf")).scatter(-1, where, values)
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
    """Copies values from reference frames by affinity, with gradients.

    Args:
        query: (B, D, h, w) features of the target frame.
        keys: (B, R, D, h, w) features of R reference frames.
        values: (B, R, C, h, w) what to copy: one-hot colors, Lab values, masks.
        temperature: divides the products; > 0.
        topk: copy from only the most similar keys.
        window: where a query may look; None is everywhere.
        tile: side of the square of queries that share one product when there is a window.
    Returns:
        (B, C, h, w) float32 (or float64).
    """
    h, w = query.shape[-2:]
    query_cells = query.permute(0, 2, 3, 1)  # (B, h, w, D)
    key_cells, value_cells = (
        keys.permute(0, 1, 3, 4, 2),
        _precise(values).permute(0, 1, 3, 4, 2),
    )  # (B, R, h, w, D or C)
    out = value_cells.new_empty(len(query), h, w, values.shape[2])
    for part in _tiles(h, w, window, tile, query.device):
        own = query_cells[:, *part.queries].flatten(1, 2)  # (B, n, D)
        near = key_cells[:, :, *part.keys].flatten(1, 3)  # (B, R m, D)
        mask = None if part.mask is None else part.mask.T.repeat(1, keys.shape[1])  # (n, R m)
        weights = affinity(own, near, temperature, topk, mask)  # (B, n, R m)
        copied = weights @ value_cells[:, :, *part.keys].flatten(1, 3)  # (B, n, C)
        out[:, *part.queries] = copied.unflatten(1, out[:, *part.queries].shape[1:3])
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
    """Copies labels from context frames to a new frame: ``attend`` for one video, channels last, without gradients.

    Args:
        query: (h, w, D) features of the new frame, float32 or bfloat16.
        keys: R tensors (h, w, D), the context frames.
        labels: R tensors (h, w, C) float32, their labels.
        temperature: divides the products; > 0.
        topk: copy from only the most similar keys over all frames.
        window: where a query may look; None is everywhere.
        everywhere: so many frames at the start of the context are searched without the window.
        tile: side of the square of queries that share one product; None chooses for the device.
    Returns:
        (h, w, C) float32.
    """
    h, w, dim = query.shape
    everywhere = len(keys) if window is None else min(everywhere, len(keys))
    tile = tile or (12 if query.device.type == "cpu" else 32)
    known = torch.stack(list(labels))  # (R, h, w, C)
    out = known.new_empty(h, w, known.shape[-1])
    parts = list(_tiles(h, w, window, tile, query.device))
    most = max(_cells(part.keys) for part in parts)
    gathered = query.new_empty(most * dim)
    near_scores = query.new_empty((len(keys) - everywhere) * most * tile * tile)
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


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _Tile(NamedTuple):
    """n queries, the m keys around them, and which of those each query may see."""

    queries: tuple[slice, slice]
    keys: tuple[slice, slice]
    mask: Tensor | None  # (m, n) bool


def _cells(area: tuple[slice, slice]) -> int:
    return (area[0].stop - area[0].start) * (area[1].stop - area[1].start)


@functools.lru_cache(maxsize=64)
def _tile_mask(
    queries: tuple[int, int], keys: tuple[int, int, int, int], window: Window, device: torch.device
) -> Tensor:
    """(m, n) bool; sizes of the query tile, key rows and columns counted from its corner.  Equal tiles share one."""
    rows, columns = (torch.arange(size, device=device) for size in queries)
    key_rows, key_columns = torch.arange(*keys[:2], device=device), torch.arange(*keys[2:], device=device)
    dy = (key_rows[:, None] - rows)[:, None, :, None]  # (key rows, 1, rows, 1)
    dx = (key_columns[:, None] - columns)[None, :, None, :]  # (1, key columns, 1, columns)
    return window.allows(dy, dx).flatten(2).flatten(0, 1)


def _tiles(h: int, w: int, window: Window | None, side: int, device: torch.device) -> Iterator[_Tile]:
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
    """Softmax over every key: scores (F, h w, n) and (R - F, m, n), labels (R, h, w, C) -> (n, C)."""
    near = near if part.mask is None else near.masked_fill(~part.mask, float("-inf"))
    weights = (torch.cat([far.flatten(0, 1), near.flatten(0, 1)]).float() / temperature).softmax(0)  # (M, n)
    labels = torch.cat([known[: len(far)].flatten(0, 2), known[len(far) :, *part.keys].flatten(0, 2)])  # (M, C)
    return weights.T @ labels


def _copy_top(far: Tensor, near: Tensor, part: _Tile, known: Tensor, temperature: float, topk: int) -> Tensor:
    """Softmax over the best keys of all frames: as ``_copy_all``."""
    h, w = known.shape[1:3]
    width = part.keys[1].stop - part.keys[1].start
    found = []
    if len(near):
        values, frame, cell = _best(near, part.mask, topk)
        y, x = part.keys[0].start + cell // width, part.keys[1].start + cell % width
        found.append((values, ((frame + len(far)) * h + y) * w + x))
    if len(far):
        values, row, column = _best(far.unflatten(1, (h, w)).flatten(0, 1), None, topk)
        found.append((values, row * w + column))
    values, where = (torch.cat(pieces) for pieces in zip(*found, strict=True))
    values, order = values.topk(min(topk, len(values)), dim=0)  # (k, n)
    weights = (values.float() / temperature).softmax(0)
    return torch.einsum("kn,knc->nc", weights, known.flatten(0, 2)[where.gather(0, order)])


def _best(scores: Tensor, mask: Tensor | None, topk: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest of (G, m, n) over its first two axes: values (k, n), and their places in G and in m.

    One pass of maxima over G leaves m columns; the k largest scores lie in the k columns with the largest maxima.
    """
    peaks = scores.amax(0)  # (m, n)
    if mask is not None:
        peaks = peaks.masked_fill_(~mask, float("-inf"))
    peaks, columns = peaks.topk(min(topk, len(peaks)), dim=0)  # (k, n)
    candidates = scores.gather(1, columns.expand(len(scores), -1, -1))  # (G, k, n)
    candidates = candidates.masked_fill(peaks.isneginf(), float("-inf")).flatten(0, 1)
    values, place = candidates.topk(min(topk, len(candidates)), dim=0)
    return values, place // len(columns), columns.gather(0, place % len(columns))
