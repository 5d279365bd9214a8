"""In which order samples of shards come: a function of seed, epoch and lane alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Member", "lane_order"]

Member = tuple[int, int]
"""Number of the shard, and place of the sample in it."""

_ORDER = 6  # a last word of seeds, see `maskwright.data.sample_reader`


def lane_order(
    shards: Sequence[int],
    counts: Sequence[int],
    *,
    buffer: int,
    seed: int,
    epoch: int,
    lane: int,
) -> tuple[list[int], list[Member]]:
    """Return the order of a lane's shards in an epoch, and of its samples.

    Shards are read in sequence; a sample waits in a buffer of `buffer` samples until it is drawn,
    so it comes out at most that many places early and a random number of places late.

    >>> lane_order([4], [0, 0, 0, 0, 3], buffer=1, seed=0, epoch=0, lane=0)
    ([4], [(4, 0), (4, 1), (4, 2)])
    """
    rng = np.random.default_rng((seed, epoch, lane, _ORDER))
    order = [shards[k] for k in rng.permutation(len(shards)).tolist()]
    waiting: list[Member] = []
    members: list[Member] = []
    for shard in order:
        for place in range(counts[shard]):
            waiting.append((shard, place))
            if len(waiting) >= buffer:
                members.append(_draw(waiting, rng))
    while waiting:
        members.append(_draw(waiting, rng))
    return order, members


def _draw(waiting: list[Member], rng: np.random.Generator) -> Member:
    chosen = int(rng.integers(len(waiting)))
    waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
    return waiting.pop()
