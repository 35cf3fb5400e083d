"""Who the studio knows: plain data that its modules can carry out."""

from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest

from presenter.studio.character import CHARACTERS, Character, ClothesStyle, HairStyle, HeadShape


def numbers(value: object) -> list[float]:
    """All numbers of nested fields, tuples and mappings."""
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, tuple):
        return [n for item in value for n in numbers(item)]
    return [] if isinstance(value, str) else [float(value)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CHARACTERS)
def test_a_character_has_known_styles_and_finite_numbers(name: str) -> None:
    character = CHARACTERS[name]
    assert character.hair.style in get_args(HairStyle)
    assert character.clothes.style in get_args(ClothesStyle)
    assert np.isfinite(numbers(asdict(character))).all()


def test_the_default_one_is_what_the_fields_say() -> None:
    assert CHARACTERS["default"] == Character()


def test_characters_differ_in_head_skin_hair_clothes_and_background() -> None:
    default, sam = CHARACTERS["default"], CHARACTERS["sam"]
    for part in ("head", "skin", "hair", "brows", "clothes", "background"):
        assert getattr(default, part) != getattr(sam, part)


def test_the_hairline_rises_on_the_forehead_and_falls_at_the_sides() -> None:
    pytest.importorskip("scipy")
    from presenter.studio.masks import above_hairline

    forehead, temple = np.array([[0.0, 10.5, 7.0]]), np.array([[7.2, 4.6, 3.0]])
    usual = HeadShape()
    higher = replace(usual, hairline=0.5)
    lower = replace(usual, sideburns=1.0)
    assert above_hairline(forehead, usual)[0] - above_hairline(forehead, higher)[0] == pytest.approx(0.5)
    assert above_hairline(temple, lower)[0] - above_hairline(temple, usual)[0] == pytest.approx(1.0)
    assert above_hairline(forehead, lower)[0] == pytest.approx(above_hairline(forehead, usual)[0])
