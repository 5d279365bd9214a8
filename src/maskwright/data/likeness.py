"""Pictures that are the same, or nearly: fingerprints, pairs and clusters.

Two pictures are exact duplicates where their decoded pixels agree, whatever their files. They are
near-duplicates where three looks agree, upright or in one of the other seven turns and mirrors:

- the perceptual hash of imagehash (pHash, 64 bits: the signs of the 8 x 8 lowest frequencies of
  the grey picture about their median) differs in at most `max_bits`;
- thumbnails of 16 x 16 grey values correlate by at least 0.96, or, where both pictures are flat,
  are of one grey: without this look flat and nearly symmetric pictures are taken for each other,
  for their frequencies are noise about the median;
- the aspect ratios differ by no more than a tenth.

What the thresholds were held to: forty pictures each of nuclei, COCO, fruit and magnetic tiles,
saved as JPEG of quality 30, halved, made grey, noisy (deviation 10), of less contrast, mirrored
or turned were all found; cropped by 2 % in each side too; brightened by 30 % in 98 %; cropped by
5 % in half of the cases, by 10 % hardly ever. Among the untouched pictures of nuclei, COCO and
fruit no pair was found. Of 201 pairs found among 275 magnetic tiles, which were shot up to six
times each, 196 show one tile (by file number and by eye). Crops of one plate that do not overlap
are not alike by pixels: nothing here finds them.

Shapes: m pictures, p pairs, t = 8 turns (see `fingerprints.turned`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from maskwright.data.fingerprints import (
    NUM_TURNS,
    THUMBNAIL,
    Fingerprints,
    fingerprint_dataset,
    fingerprint_pictures,
    turned,
)

__all__ = [
    "MAX_BITS",
    "Duplicates",
    "Fingerprints",
    "find_duplicates",
    "fingerprint_dataset",
    "fingerprint_pictures",
]

MAX_BITS = 10
"""Bits in which the hashes of near-duplicates may differ; the module says what it was held to."""

_LEAST_CORRELATION = 0.96
_FLAT = 2.0  # standard deviation in grey levels below which a thumbnail has nothing to correlate
_SAME_GREY = 8.0  # grey levels
_ASPECT_TOLERANCE = 0.1  # of the logarithm of height over width
_BLOCK = 64  # rows and columns of the table of pairs that are looked at at once
_COLUMNS = 2048
_CHUNK = 1 << 16  # pairs of thumbnails compared at once
_PAIRS_PER_PICTURE = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Duplicates:
    """Which pictures are alike.

    Args:
        pairs: (p, 2) positions of two alike, the smaller first, in order. Of a large cluster not
            every pair is listed, but the 20 nearest later ones of each picture; exact copies are
            paired with the first of their kind.
        bits: (p,) in which their hashes differ, in the turn in which they differ least.
        is_exact: (p,) True where their pixels agree.
        is_turned: (p,) True where they agree turned or mirrored only.
        cluster_of: (m,) number of each picture's cluster, counted by first member from 0; alike
            pictures are in one, also over others between them.
    """

    pairs: Int64[np.ndarray, "p 2"]
    bits: Int64[np.ndarray, " p"]
    is_exact: Bool[np.ndarray, " p"]
    is_turned: Bool[np.ndarray, " p"]
    cluster_of: Int64[np.ndarray, " m"]

    def clusters(self) -> list[list[int]]:
        """Return the positions of the pictures of each cluster of two or more, the largest first.

        >>> nothing = fingerprint_pictures([])
        >>> find_duplicates(nothing).clusters()
        []
        """
        order = np.argsort(self.cluster_of, kind="stable")
        ends = np.cumsum(np.bincount(self.cluster_of))
        members = [part.tolist() for part in np.split(order, ends) if len(part) > 1]
        return sorted(members, key=len, reverse=True)


def find_duplicates(
    prints: Fingerprints, *, max_bits: int = MAX_BITS, with_turns: bool = True
) -> Duplicates:
    """Find exact and near-duplicates among pictures.

    Compares every pair of hashes, a small table at a time: memory grows with the number of
    pictures, time with its square, which stays below that of decoding them.

    Args:
        prints: Of the pictures.
        max_bits: Bits in which the hashes of two may differ; 0 to 64.
        with_turns: Find rotated (by quarter turns) and mirrored copies too.
    """
    # Copies are searched once, and a thousand equal frames do not make a million pairs.
    _, first, inverse = np.unique(prints.digests, return_index=True, return_inverse=True)
    first_of = first[inverse]
    copies = np.flatnonzero(first_of != np.arange(len(prints)))
    clusters = _Clusters(len(prints))
    clusters.unite(np.stack([first_of[copies], copies], axis=1))
    found = [_columns(first_of[copies], copies, 0, is_exact=True, is_turned=False)]
    kept = np.sort(first)
    num_turns = NUM_TURNS if with_turns else 1
    looks = _Looks(prints, num_turns)
    for start in range(0, len(kept), _BLOCK):
        rows = kept[start : start + _BLOCK]
        left, right = _within(prints.hashes, rows, kept[start:], num_turns, max_bits)
        bits, turn = _nearest_turn(prints.hashes, left, right, num_turns, max_bits)
        looks_alike = looks.agree(left, right, turn)
        columns = _columns(left, right, bits, is_exact=False, is_turned=turn > 0)
        clusters.unite(columns[looks_alike, :2])
        found.append(_nearest_of_each(columns[looks_alike]))
    table = np.concatenate(found)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return Duplicates(
        pairs=table[:, :2],
        bits=table[:, 2],
        is_exact=table[:, 3] > 0,
        is_turned=table[:, 4] > 0,
        cluster_of=clusters.numbers(),
    )


class _Clusters:
    """Joins positions into clusters (union-find by connected components, whole arrays at once)."""

    def __init__(self, size: int) -> None:
        self._cluster_of = np.arange(size)

    def unite(self, pairs: Int64[np.ndarray, "p 2"]) -> None:
        """Put both of each pair into one cluster."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(pairs):
            return
        left, right = self._cluster_of[pairs].T
        size = len(self._cluster_of)
        graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
        self._cluster_of = connected_components(graph, directed=False)[1][self._cluster_of]

    def numbers(self) -> Int64[np.ndarray, " m"]:
        """Return the cluster of each position, counted by first member."""
        _, first, inverse = np.unique(self._cluster_of, return_index=True, return_inverse=True)
        ranks = np.empty(len(first), np.int64)
        ranks[np.argsort(first)] = np.arange(len(first))
        return ranks[inverse]


def _within(
    hashes: UInt64[np.ndarray, "m t"],
    rows: Int64[np.ndarray, " r"],
    others: Int64[np.ndarray, " o"],
    num_turns: int,
    max_bits: int,
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Return the pairs, the row before the other, within `max_bits` in any turn."""
    upright = hashes[rows, 0][:, None]
    found = []
    # Tables this small stay in the processor's cache.
    for start in range(0, len(others), _COLUMNS):
        columns = others[start : start + _COLUMNS]
        differing = np.empty((len(rows), len(columns)), np.uint64)
        bits = np.empty((len(rows), len(columns)), np.uint8)
        fewest = np.full_like(bits, 64)
        for hashes_of_turn in np.ascontiguousarray(hashes[columns, :num_turns].T):
            np.bitwise_xor(upright, hashes_of_turn, out=differing)
            np.bitwise_count(differing, out=bits)
            np.minimum(fewest, bits, out=fewest)
        i, j = np.nonzero(fewest <= max_bits)
        found.append(np.stack([rows[i], columns[j]]))
    left, right = np.concatenate(found, axis=1)
    is_later = left < right
    return left[is_later], right[is_later]


def _nearest_turn(
    hashes: UInt64[np.ndarray, "m t"],
    left: Int64[np.ndarray, " p"],
    right: Int64[np.ndarray, " p"],
    num_turns: int,
    max_bits: int,
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Return the bits in which each two differ, and the turn of the right one that is compared.

    Upright counts wherever it is near enough, else the turn with the fewest bits.
    """
    bits = np.bitwise_count(hashes[left, :1] ^ hashes[right, :num_turns]).astype(np.int64)
    turns = np.where(bits[:, 0] <= max_bits, 0, bits.argmin(axis=1))
    return bits[np.arange(len(bits)), turns], turns


class _Looks:
    """The second and third look: thumbnails and aspect ratios."""

    def __init__(self, prints: Fingerprints, num_turns: int) -> None:
        values = prints.thumbnails.astype(np.float32)
        self._means = values.mean(axis=(1, 2))
        values -= self._means[:, None, None]
        deviations = np.sqrt((values**2).mean(axis=(1, 2)))
        self._is_flat = deviations < _FLAT
        values /= np.maximum(deviations, 1e-6)[:, None, None] * THUMBNAIL
        self._vectors = [
            turned(values, k).reshape(len(values), THUMBNAIL**2) for k in range(num_turns)
        ]
        self._aspects = prints.aspects

    def agree(
        self,
        left: Int64[np.ndarray, " p"],
        right: Int64[np.ndarray, " p"],
        turns: Int64[np.ndarray, " p"],
    ) -> Bool[np.ndarray, " p"]:
        """Say of each pair whether both looks agree, the right one turned."""
        correlates = np.zeros(len(left), bool)
        for turn, vectors in enumerate(self._vectors):
            here = np.flatnonzero(turns == turn)
            for some in np.array_split(here, len(here) // _CHUNK + 1):
                upright, other = self._vectors[0][left[some]], vectors[right[some]]
                correlates[some] = np.einsum("pv,pv->p", upright, other) >= _LEAST_CORRELATION
        are_flat = self._is_flat[left] & self._is_flat[right]
        one_grey = np.abs(self._means[left] - self._means[right]) < _SAME_GREY
        # Odd quarter turns (1, 3 and their mirrors 5, 7) swap height and width.
        turned_aspects = self._aspects[right] * np.where(turns % 2 == 1, -1, 1)
        one_aspect = np.abs(self._aspects[left] - turned_aspects) <= _ASPECT_TOLERANCE
        looks: np.ndarray = np.where(are_flat, one_grey, correlates) & one_aspect
        return looks


def _columns(
    left: Int64[np.ndarray, " p"],
    right: Int64[np.ndarray, " p"],
    bits: np.ndarray | int,
    *,
    is_exact: bool,
    is_turned: np.ndarray | bool,
) -> Int64[np.ndarray, "p 5"]:
    table = np.empty((len(left), 5), np.int64)
    for column, values in enumerate((left, right, bits, is_exact, is_turned)):
        table[:, column] = values
    return table


def _nearest_of_each(table: Int64[np.ndarray, "p 5"]) -> Int64[np.ndarray, "q 5"]:
    """Keep the pairs of fewest bits of each left picture."""
    table = table[np.lexsort((table[:, 1], table[:, 2], table[:, 0]))]
    starts = np.searchsorted(table[:, 0], table[:, 0])
    return table[np.arange(len(table)) - starts < _PAIRS_PER_PICTURE]
