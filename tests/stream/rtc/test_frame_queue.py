"""What a reader gets can always be decoded, however slow it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiortc.mediastreams import MediaStreamError

from stream.rtc.encoders import EncodedFrame
from stream.rtc.frame_queue import EncodedFrameQueue


async def read_all(frames: EncodedFrameQueue) -> list[EncodedFrame]:
    got = []
    try:
        while True:
            got.append(await frames.get())
    except MediaStreamError:
        return got


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("", ""),
        ("Kpp", "Kpp"),
        ("ppKp", "Kp"),  # a late joiner
        ("Kppp", "Kppp"),
        ("Kpppp", ""),  # the oldest was needed by all others, and by those to come
        ("KppppppK", "K"),
        ("KppppKp", "Kp"),
        ("KpKpp", "Kpp"),  # only the group that lost its head goes
        ("KKKKKK", "KKKK"),  # a voice
    ],
)
def test_what_is_read_begins_with_a_keyframe_and_has_no_gap(run: Callable, sent: str, read: str) -> None:
    async def scenario() -> None:
        frames = EncodedFrameQueue(4, lambda: None)
        for i, kind in enumerate(sent):
            frames.put(EncodedFrame(i, i, [b"x"], kind == "K"))
        frames.close()
        got = await read_all(frames)
        assert "".join("K" if frame.keyframe else "p" for frame in got) == read
        assert [frame.time for frame in got] == list(range(len(sent)))[len(sent) - len(read) :]

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "asks"), [("", 1), ("ppp", 1), ("Kp", 0), ("Kpppppppp", 1), ("KppppppppK", 0), ("KpppKpp", 0)]
)
def test_a_keyframe_is_asked_for_once_the_reader_is_there_and_has_none(run: Callable, sent: str, asks: int) -> None:
    async def scenario() -> None:
        asked: list[str] = []
        frames = EncodedFrameQueue(4, lambda: asked.append("keyframe, please"))
        for i, kind in enumerate(sent):
            frames.put(EncodedFrame(i, i, [b"x"], kind == "K"))
        assert not asked, "nobody reads yet"
        reading = asyncio.create_task(read_all(frames))
        await asyncio.sleep(0)
        assert len(asked) == asks
        frames.close()
        await reading

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "dropped"), [("ppKpp", 0), ("KpKppp", 2), ("Kpppp", 5), ("Kpppppp", 7), ("KpppppKp", 6), ("KKKKKK", 2)]
)
def test_what_a_slow_reader_loses_is_counted(run: Callable, sent: str, dropped: int) -> None:
    async def scenario() -> int:
        frames = EncodedFrameQueue(4, lambda: None)
        for i, kind in enumerate(sent):
            frames.put(EncodedFrame(i, i, [b"x"], kind == "K"))
        return frames.dropped

    assert run(scenario()) == dropped
