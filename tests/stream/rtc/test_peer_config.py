"""Settings become aiortc's own, and impossible ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
from aiortc.codecs import h264, vpx

from stream.errors import StreamError
from stream.rtc.peer_config import PeerConfig


def test_no_stun_unless_it_is_configured() -> None:
    assert PeerConfig().rtc_configuration().iceServers == []
    config = PeerConfig(ice_servers=("turn:turn.example:3478",), ice_username="u", ice_credential="c")
    (server,) = config.rtc_configuration().iceServers
    assert (server.urls, server.username, server.credential) == ("turn:turn.example:3478", "u", "c")


@pytest.mark.parametrize(("codec", "mime"), [("vp8", "video/VP8"), ("h264", "video/H264")])
def test_the_preferred_codec_is_first_and_the_others_remain(codec: str, mime: str) -> None:
    codecs = PeerConfig(video_codec=codec).video_codecs()
    assert codecs[0].mimeType == mime
    assert {c.mimeType for c in codecs} == {"video/VP8", "video/H264", "video/rtx"}


def test_encoders_take_their_limits_from_the_configuration() -> None:
    before = (vpx.MIN_BITRATE, vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE)
    try:
        PeerConfig(start_bitrate=2_000_000, max_bitrate=4_000_000).patch_process_encoders()
        assert vpx.MAX_BITRATE == h264.MAX_BITRATE == 4_000_000
        encoder = vpx.Vp8Encoder()
        assert encoder.target_bitrate == 2_000_000
        encoder.target_bitrate = 9_000_000
        assert encoder.target_bitrate == 4_000_000
    finally:
        for codec in (vpx, h264):
            codec.MIN_BITRATE, codec.DEFAULT_BITRATE, codec.MAX_BITRATE = before


def test_a_governor_starts_where_the_encoder_starts() -> None:
    assert PeerConfig(start_bitrate=700_000).governor().target == 700_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"video_codec": "av1"}, "video_codec: expected one of"),
        ({"min_bitrate": 0}, "expected 0 < min"),
        ({"start_bitrate": 9_000_000}, "expected 0 < min <= start <= max"),
        ({"ice_servers": ("http://stun.example",)}, "ice_servers: expected stun:"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(StreamError, match=text):
        PeerConfig(**options)
