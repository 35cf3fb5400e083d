"""A real SDP offer, and what strangers make of it."""

from __future__ import annotations

import random

from aiortc import RTCConfiguration, RTCPeerConnection

from stream.rtc.aiortc_internals import patch_process_host_addresses


async def real_offer() -> str:
    patch_process_host_addresses()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    pc.createDataChannel("presenter")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = str(pc.localDescription.sdp)
    await pc.close()
    return sdp


_PIECES = [
    "9" * 30,
    "9" * 5000,
    "-1",
    "",
    " ",
    "\0",
    "ä",
    "\ud7ff",
    "%s",
    "/",
    ":",
    "=",
    ";",
    "a=mid:",
    "m=audio 9 X 0",
]


def mutated(sdp: str, dice: random.Random) -> str:
    """Change a few lines of an offer: dropped, doubled, swapped, cut, or with something else in them."""
    lines = sdp.split("\r\n")
    for _ in range(dice.randint(1, 6)):
        k = dice.randrange(len(lines))
        match dice.randrange(7):
            case 0:
                del lines[k : k + dice.randint(1, 3)]
                lines = lines or [""]
            case 1:
                lines.insert(k, lines[k])
            case 2:
                other = dice.randrange(len(lines))
                lines[k], lines[other] = lines[other], lines[k]
            case 3:
                lines[k] = lines[k][: dice.randint(0, len(lines[k]))]
            case 4:
                words = lines[k].split(" ")
                words[dice.randrange(len(words))] = dice.choice(_PIECES)
                lines[k] = " ".join(words)
            case 5:
                at = dice.randint(0, len(lines[k]))
                lines[k] = lines[k][:at] + dice.choice(_PIECES) + lines[k][at:]
            case _:
                name, colon, _ = lines[k].partition(":")
                lines[k] = name + colon + dice.choice(_PIECES)
    return dice.choice(["\r\n", "\r\n", "\n", "\r"]).join(lines)
