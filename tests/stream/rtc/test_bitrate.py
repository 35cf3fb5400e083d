"""The bitrate rule on made-up estimates, and its host between a sender and its viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RTCP_PSFB_APP, RTCP_PSFB_PLI, RtcpPsfbPacket, pack_remb_fci

from stream.clock import SessionClock
from stream.rtc.bitrate import BitrateGovernor, ViewerBitrate


def governor(start: int = 1_500_000) -> BitrateGovernor:
    return BitrateGovernor(start=start, low=300_000, high=2_500_000)


def test_a_fall_is_obeyed_at_once_with_headroom() -> None:
    g = governor()
    assert g.update(1_000_000, 0.0)
    assert g.target == 950_000
    assert g.update(500_000, 0.1)
    assert g.target == 475_000


@pytest.mark.parametrize("share", [0.91, 1.0, 1.2])
def test_small_movements_are_ignored(share: float) -> None:
    g = governor()
    assert not g.update(int(1_500_000 * share), 10.0)
    assert g.target == 1_500_000


def test_a_rise_waits_for_a_large_step_and_for_the_pause() -> None:
    g = governor()
    assert g.update(1_000_000, 0.0)
    assert not g.update(1_400_000, 3.9)
    assert g.update(1_400_000, 4.0)
    assert g.target == 1_400_000


def test_the_last_step_to_the_limit_may_be_small() -> None:
    g = governor(start=2_200_000)
    assert g.update(2_600_000, 0.0)
    assert g.target == 2_500_000
    assert not g.update(9_000_000, 10.0)


@pytest.mark.parametrize(("estimate", "target"), [(10_000, 300_000), (99_000_000, 2_500_000)])
def test_the_target_stays_within_the_limits(estimate: int, target: int) -> None:
    g = governor()
    assert g.update(estimate, 0.0)
    assert g.target == target


def test_a_browsers_ramp_makes_two_encoders_not_six() -> None:
    """Estimates of Chromium on loopback grow by 8 % a second."""
    g, changes = governor(), 0
    estimate = 1_500_000.0
    for second in range(30):
        for part in range(3):
            changes += g.update(int(estimate), second + part / 3)
            estimate *= 1.08 ** (1 / 3)
    assert g.target == 2_500_000
    assert changes == 2


def test_only_estimates_that_matter_are_passed_on(run: Callable) -> None:
    async def scenario() -> tuple[list[Any], list[int]]:
        server = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender: Any = server.addTransceiver("video").sender
        passed: list[Any] = []
        targets: list[int] = []

        async def capture(packet: Any) -> None:
            passed.append(packet)

        sender._handle_rtcp_packet = capture
        ViewerBitrate(sender, governor(), SessionClock(), targets.append)

        def application(fci: bytes) -> RtcpPsfbPacket:
            return RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci)

        await sender._handle_rtcp_packet(application(pack_remb_fci(1_450_000, [sender._ssrc])))
        await sender._handle_rtcp_packet(application(pack_remb_fci(100_000, [sender._ssrc + 1])))
        for broken in (b"other", b"REMB", pack_remb_fci(100_000, [sender._ssrc])[:10]):
            await sender._handle_rtcp_packet(application(broken))
        await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=0))
        await sender._handle_rtcp_packet(application(pack_remb_fci(1_000_000, [sender._ssrc])))
        await server.close()
        return passed, targets

    (pli,), (target,) = run(scenario())
    assert pli.fmt == RTCP_PSFB_PLI
    assert abs(target - 950_000) < 10
