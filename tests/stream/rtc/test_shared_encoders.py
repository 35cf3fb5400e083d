"""Keyframes and bitrates that suit all viewers of one encoder."""

from __future__ import annotations

import pytest

from stream.clock import samples
from stream.rtc.shared_encoders import KeyframeRequests, shared_bitrate


def forced(asked_ms: list[int], frames_ms: range, natural_ms: tuple[int, ...] = ()) -> list[int]:
    """Times of the forced keyframes, for requests at some times between frames."""
    requests, made = KeyframeRequests(), []
    asked = sorted(asked_ms)
    for at in frames_ms:
        while asked and asked[0] <= at:
            asked.pop(0)
            requests.ask()
        if requests.begin(samples(at)):
            made.append(at)
        if (made and made[-1] == at) or at in natural_ms:
            requests.made(samples(at))
    return made


@pytest.mark.parametrize(
    ("asked", "natural", "made"),
    [
        ([], (0,), []),
        ([100], (0,), [320]),  # the first frame of an encoder is a keyframe by itself
        ([500], (0,), [520]),
        ([500, 501, 502, 515], (0,), [520]),  # together
        (list(range(0, 1000, 5)), (), [0, 320, 640, 960]),  # a storm
        ([400, 430], (0,), [400, 720]),  # the second has lost part of the first's answer
        ([500], (0, 520), [520]),
        ([410], (0, 400), [720]),
        ([330, 390], (0, 320, 400), []),  # answered by one that came by itself
    ],
)
def test_keyframes_are_forced_for_all_who_ask_but_rarely(asked: list[int], natural: tuple, made: list[int]) -> None:
    assert forced(asked, range(0, 1000, 40), natural) == made


def test_a_request_during_an_encode_is_for_the_next_one() -> None:
    requests = KeyframeRequests()
    requests.ask()
    assert requests.begin(0)
    requests.ask()
    requests.made(0)
    assert not requests.begin(samples(299))
    assert requests.begin(samples(300))
    requests.made(samples(300))
    assert not requests.begin(samples(900))


def test_a_request_stays_when_the_encoder_made_something_else() -> None:
    requests = KeyframeRequests()
    requests.ask()
    assert requests.begin(0)
    assert requests.begin(samples(40))


@pytest.mark.parametrize(
    ("bitrates", "shared"),
    [
        ([700], 700),
        ([900, 300], 300),
        ([900] * 8 + [300], 300),
        ([900] * 9 + [300], 900),
        ([100, 200, *[900] * 8], 200),
        ([100, 200, 300, *[900] * 47], 900),
    ],
)
def test_the_worst_tenth_is_left_out(bitrates: list[int], shared: int) -> None:
    assert shared_bitrate(bitrates) == shared
