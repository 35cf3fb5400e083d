"""Offers as other stacks write them, answered by a real peer: certificates, H.264 without parameters, no candidates."""

from __future__ import annotations

import datetime
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCCertificate, rtcpeerconnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer
from tests.stream.playing import green, playing


class RsaCertificate(RTCCertificate):
    """What GStreamer has: an RSA key, and OpenSSL's own list of ciphers."""

    @classmethod
    def generateCertificate(cls) -> RsaCertificate:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "viewer")])
        now = datetime.datetime.now(tz=datetime.UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        return cls(key, builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))

    def _create_ssl_context(self, srtp_profiles: list) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"DEFAULT")
        return context


@asynccontextmanager
async def show() -> AsyncIterator[EncoderHub]:
    async with playing(green) as pump:
        yield EncoderHub(pump)


async def watch(viewer: Any, change: Callable[[str], str], count: int = 3) -> tuple[str, set[str]]:
    """Let a viewer receive video and audio; returns the answer to its changed offer, and what was encoded."""
    answers: list[str] = []
    async with show() as hub:
        peer = Peer(hub)

        async def answer(offer: str) -> str:
            answers.append(await peer.answer(change(offer)))
            return answers[0]

        try:
            await viewer.connect(answer)
            await viewer.until(lambda: len(viewer.frames["video"]) > count and len(viewer.frames["audio"]) > count, 12)
            return answers[0], set(hub.encodings())
        finally:
            await viewer.close()
            await peer.close()


@pytest.mark.parametrize("setup", ["actpass", "active", "passive"])
@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_either_certificate_in_either_role(
    remote: type, run: Callable, monkeypatch: pytest.MonkeyPatch, kind: str, setup: str
) -> None:
    viewer: list[Any] = []

    async def scenario() -> tuple[str, set[str]]:
        with monkeypatch.context() as patch:
            if kind == "RSA":
                patch.setattr(rtcpeerconnection, "RTCCertificate", RsaCertificate)
            viewer.append(remote(channel=False))
        return await watch(viewer[0], lambda offer: offer.replace("a=setup:actpass", f"a=setup:{setup}"))

    answer, _ = run(scenario())
    assert ("a=setup:passive" if setup == "active" else "a=setup:active") in answer


@pytest.mark.parametrize(
    ("parameters", "mode"),
    [
        (None, 0),
        ("profile-level-id=42e01f", 0),
        ("packetization-mode=1", 1),
        ("packetization-mode=0;profile-level-id=42001f;level-asymmetry-allowed=1", 0),
    ],
)
def test_h264_without_parameters_means_what_rfc_6184_says(
    remote: type, run: Callable, parameters: str | None, mode: int
) -> None:
    def bare(offer: str) -> str:
        number = re.search(r"a=rtpmap:(\d+) H264", offer)[1]  # type: ignore[index]
        offer = re.sub(r"(m=video .* UDP/TLS/RTP/SAVPF) .*", rf"\1 {number}", offer)
        others = rf"a=(rtpmap|fmtp|rtcp-fb):(?!{number} )\d+ .*\r\n"
        head, video = offer.split("m=video")
        video = re.sub(others, "", re.sub(r"a=fmtp.*\r\n", "", video))
        fmtp = f"a=fmtp:{number} {parameters}\r\n" if parameters else ""
        return f"{head}m=video{video}{fmtp}"

    async def scenario() -> tuple[str, set[str]]:
        return await watch(remote(channel=False, codec="H264"), bare)

    answer, encodings = run(scenario())
    assert f"packetization-mode={mode}" in answer
    assert encodings == {"audio/opus", "video/h264" + (";packetization-mode=0" if mode == 0 else "")}


@pytest.mark.parametrize("candidates", ["none", "hidden"])
def test_candidates_may_end_before_any_that_can_be_used(remote: type, run: Callable, candidates: str) -> None:
    def hide(offer: str) -> str:
        if candidates == "none":
            return re.sub(r"a=candidate:.*\r\n", "", offer)
        return re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+", r"\1 11111111-2222-3333-4444-555555555555.local", offer)

    async def scenario() -> None:
        viewer = remote(channel=False)
        _, encodings = await watch(viewer, lambda offer: hide(offer))
        assert encodings

    run(scenario())
