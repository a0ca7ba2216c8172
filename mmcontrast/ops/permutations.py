"""Sets of permutations that differ in as many positions as possible, for jigsaw puzzles."""

from itertools import chain, permutations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmcontrast.errors import InputError

# At most 72 permutations of 9 pieces can differ pairwise in 8 positions, and at most 504 in 7, since two of more would
# agree on a pair (a triple) of positions. Sharply transitive groups reach these bounds: x -> ax + b over the field of 9
# elements, and x -> (ax + b) / (cx + d) over the field of 8 with infinity. Together with x -> x^2, 1512 differ in 6.
# Peter J. Cameron, Permutation codes, European Journal of Combinatorics 31 (2010), 482-490.
_ADD_9, _TIMES_9 = (1, 2, 0, 4, 5, 3, 7, 8, 6), (0, 4, 8, 5, 6, 1, 7, 2, 3)
_ADD_8, _TIMES_8, _INVERSE_8 = (1, 0, 3, 2, 5, 4, 7, 6, 8), (0, 2, 4, 6, 3, 1, 7, 5, 8), (8, 1, 5, 6, 7, 2, 3, 4, 0)
_SQUARE_8 = (0, 1, 4, 5, 6, 7, 2, 3, 8)
_GROUPS = {
    72: (_ADD_9, _TIMES_9),
    504: (_ADD_8, _TIMES_8, _INVERSE_8),
    1512: (_ADD_8, _TIMES_8, _INVERSE_8, _SQUARE_8),
}
_MAX_PIECES = 9  # 10 pieces have 3.6 million permutations


def distant_permutations(pieces: int, count: int) -> Tensor:
    """Returns permutations of large Hamming distance (Noroozi and Favaro, 1603.09246, algorithm 1).

    Any two permutations of 9 pieces differ in 8 positions for a count up to 72, in 7 up to 504, and in 6 up to 1,512; a
    greedy search over all permutations, as in the paper, reaches 7, 5 and 5. The result is the same on every call.

    Args:
        pieces: Number N of pieces, 2 to 9.
        count: Number K of permutations, at most N!.

    Returns:
        Permutations (K, N) int64.

    Raises:
        InputError: There are too many pieces or permutations.

    >>> distant_permutations(3, 3)
    tensor([[0, 1, 2],
            [1, 2, 0],
            [2, 0, 1]])
    """
    if not 2 <= pieces <= _MAX_PIECES:
        raise InputError(f"pieces is {pieces}; give 2 to {_MAX_PIECES}, since all their permutations are compared.")
    group = next((members for size, members in _GROUPS.items() if pieces == 9 and count <= size), None)
    pool = _closure(group) if group else _all(pieces)
    if not 1 <= count <= len(pool):
        raise InputError(f"count is {count}, but {pieces} pieces have {len(pool)} permutations; give 1 to {len(pool)}.")
    return torch.from_numpy(pool[_far_apart(pool, count)].astype(np.int64))


def _all(pieces: int) -> npt.NDArray[np.uint8]:
    """Returns all permutations, (N!, N) uint8."""
    return np.fromiter(chain.from_iterable(permutations(range(pieces))), np.uint8).reshape(-1, pieces)


def _closure(generators: tuple[tuple[int, ...], ...]) -> npt.NDArray[np.uint8]:
    """Returns all products of the generators, sorted, (K, N) uint8."""
    group = {tuple(range(len(generators[0])))}
    new = list(group)
    while new:
        products = {tuple(g[i] for i in p) for p in new for g in generators}
        new = list(products - group)
        group |= products
    return np.array(sorted(group), np.uint8)


def _far_apart(pool: npt.NDArray[np.uint8], count: int) -> list[int]:
    """Returns row numbers, each farthest from its nearest predecessor; ties are broken by the sum of distances."""
    columns = pool.T.copy()  # (N, P)
    nearest, total = np.full(len(pool), len(columns), np.uint8), np.zeros(len(pool), np.int64)
    chosen = [0]
    while len(chosen) < count:
        distance = np.zeros(len(pool), np.uint8)
        for column in columns:
            distance += column != column[chosen[-1]]
        np.minimum(nearest, distance, out=nearest)
        total += distance
        chosen.append(int(np.where(nearest == nearest.max(), total, -1).argmax()))
    return chosen
