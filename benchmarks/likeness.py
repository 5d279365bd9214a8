"""Time the search for near-duplicates among many pictures whose fingerprints are known.

    python benchmarks/likeness.py --pictures 100000

Hashes are random, so nearly no pair is looked at twice: this is the cost of comparing all pairs.
A tenth of the pictures are copies of others with a few bits changed. Decoding and hashing come
on top and are linear in the pictures; the second figure measures them on one picture.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from maskwright.data.fingerprints import NUM_TURNS, THUMBNAIL, Fingerprints, fingerprint_pictures
from maskwright.data.likeness import find_duplicates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    count = parser.parse_args().pictures
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (count, NUM_TURNS)).astype(np.uint64)
    thumbnails = rng.integers(0, 256, (count, THUMBNAIL, THUMBNAIL)).astype(np.uint8)
    copies = np.arange(0, count - 1, 10)
    hashes[copies] = hashes[copies + 1] ^ np.uint64(5)
    thumbnails[copies] = thumbnails[copies + 1]
    prints = Fingerprints(
        digests=rng.integers(0, 2**63, (count, 2)).view("V16")[:, 0],
        hashes=hashes,
        thumbnails=thumbnails,
        aspects=np.zeros(count, np.float32),
    )
    for with_turns in (False, True):
        start = time.perf_counter()
        found = find_duplicates(prints, with_turns=with_turns)
        seconds = time.perf_counter() - start
        kind = "in eight turns" if with_turns else "upright"
        print(f"{count} pictures {kind}: {seconds:.1f} s, {len(found.pairs)} pairs")
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    start = time.perf_counter()
    fingerprint_pictures([image] * 50)
    print(f"fingerprint of 480 x 640: {1000 * (time.perf_counter() - start) / 50:.2f} ms")


if __name__ == "__main__":
    main()
