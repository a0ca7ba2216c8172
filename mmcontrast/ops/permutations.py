"""Sets of permutations that differ in as many places as possible, for jigsaw puzzles."""

from itertools import chain, permutations

import numpy as np
import torch
from torch import Tensor

from mmcontrast.errors import InputError

# Of 9 pieces no more than 72 permutations differ in 8 places at least, and no more than 504 in 7: two of them would
# agree on a pair (a triple) of places.  Sharply transitive groups reach these bounds: x -> ax + b over the field of 9
# elements, and x -> (ax + b) / (cx + d) over that of 8 with infinity; with x -> x^2 besides, 1512 differ in 6.
# Peter J. Cameron, Permutation codes, European Journal of Combinatorics 31 (2010), 482-490.
_ADD_9, _TIMES_9 = (1, 2, 0, 4, 5, 3, 7, 8, 6), (0, 4, 8, 5, 6, 1, 7, 2, 3)
_ADD_8, _TIMES_8, _INVERSE_8 = (1, 0, 3, 2, 5, 4, 7, 6, 8), (0, 2, 4, 6, 3, 1, 7, 5, 8), (8, 1, 5, 6, 7, 2, 3, 4, 0)
_SQUARE_8 = (0, 1, 4, 5, 6, 7, 2, 3, 8)
_GROUPS = {
    72: (_ADD_9, _TIMES_9),
    504: (_ADD_8, _TIMES_8, _INVERSE_8),
    1512: (_ADD_8, _TIMES_8, _INVERSE_8, _SQUARE_8),
}
_MOST = 9  # pieces: 10 have 3.6 million permutations


def distant_permutations(pieces: int, count: int) -> Tensor:
    """Permutations of maximal Hamming distance (Noroozi and Favaro, 1603.09246, algorithm 1), the same on every run.

    Of 9 pieces any two differ in 8 places up to 72 permutations, in 7 up to 504, in 6 up to 1,512; a greedy search, as
    in the paper, gets 7, 5 and 5.  It chooses within these sets, and among all permutations where there is none.

    Args:
        pieces: N, 2 to 9.
        count: K, at most N!.
    Returns:
        (K, N) int64.
    Raises:
        InputError: too many pieces or permutations.
    """
    if not 2 <= pieces <= _MOST:
        raise InputError(f"{pieces} pieces: wanted 2 to {_MOST}, since all their permutations are looked at")
    group = next((members for size, members in _GROUPS.items() if pieces == 9 and count <= size), None)
    pool = _closure(group) if group else _all(pieces)
    if not 1 <= count <= len(pool):
        raise InputError(f"{count} permutations of {pieces} pieces: there are {len(pool)}; give 1 to {len(pool)}")
    return torch.from_numpy(pool[_far_apart(pool, count)].astype(np.int64))


def _all(pieces: int) -> np.ndarray:
    """(N!, N) uint8."""
    return np.fromiter(chain.from_iterable(permutations(range(pieces))), np.uint8).reshape(-1, pieces)


def _closure(generators: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """All products of the generators, sorted: (K, N) uint8."""
    found = {tuple(range(len(generators[0])))}
    fresh = list(found)
    while fresh:
        products = {tuple(g[i] for i in p) for p in fresh for g in generators}
        fresh = list(products - found)
        found |= products
    return np.array(sorted(found), np.uint8)


def _far_apart(pool: np.ndarray, count: int) -> list[int]:
    """Places of ``count`` rows: each is the farthest from its nearest predecessor, then from all of them in sum."""
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
