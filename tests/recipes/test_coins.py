"""The demo's pictures."""

from __future__ import annotations

import numpy as np

from maskwright.recipes.coins import HELD_OUT_ROW, NUM_COINS, coin_photograph, compose, cut_coins


def test_the_photograph_has_24_coins_that_do_not_touch() -> None:
    image, masks = coin_photograph()
    assert image.shape == (303, 384, 3)
    assert len(masks) == NUM_COINS
    assert masks.union().area[0] == masks.area.sum()
    assert masks.area.min() > 1000


def test_coins_are_cut_in_the_order_of_the_masks() -> None:
    _, masks = coin_photograph()
    for coin, area in zip(cut_coins(), masks.area, strict=True):
        assert coin.bitmap.sum() == area
    assert [coin.row for coin in cut_coins()] == [row for row in range(4) for _ in range(6)]
    assert HELD_OUT_ROW in range(4)


def test_a_composed_picture_is_reproduced_by_its_seed() -> None:
    coins = cut_coins()
    one = compose(coins, np.random.default_rng(3))
    same = compose(coins, np.random.default_rng(3))
    assert (one[0] == same[0]).all()
    assert one[1] == same[1]


def test_coins_of_a_composed_picture_are_disjoint_and_brought_a_change() -> None:
    image, masks = compose(cut_coins(), np.random.default_rng(1), size=(200, 240))
    assert image.shape == (200, 240, 3)
    assert image.dtype == np.uint8
    assert len(masks) > 1
    assert masks.union().area[0] == masks.area.sum()
    assert (masks.area > 0).all()


def test_without_coins_the_picture_is_bare() -> None:
    image, masks = compose([], np.random.default_rng(1))
    assert image.shape == (256, 320, 3)
    assert len(masks) == 0
