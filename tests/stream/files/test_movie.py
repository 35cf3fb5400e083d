"""The file has every frame and every sample, in place, and appears only when it is complete."""

from __future__ import annotations

import os
import threading
import tracemalloc
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from stream.errors import MediaFileError
from stream.files.movie import MovieWriter, SoundFormat
from stream.files.reader import AudioFile, Recording, iter_video, read_audio

SIZE = (64, 96)


def speech_like(samples: int, rate: int, channels: int) -> AudioFile:
    """Smoothed noise with sharp ends: what AAC would lose at an edge shows."""
    noise = np.random.default_rng(samples).standard_normal((channels, samples + 7)) * 0.3
    smooth = np.stack([np.convolve(row, np.ones(8) / 8, "valid") for row in noise])
    return AudioFile(smooth.astype(np.float32), rate)


def pictures(count: int) -> list[np.ndarray]:
    return [np.full((*SIZE, 3), (k * 7 % 200 + 20, 100, 180 - k * 5 % 150), np.uint8) for k in range(count)]


def write(path: Path, frames: list[np.ndarray], audio: AudioFile | None) -> None:
    sound = None if audio is None else SoundFormat(audio.rate, audio.channels)
    with MovieWriter(path, SIZE, 25, sound, preset="ultrafast") as writer:
        for piece in [] if audio is None else audio.pieces():
            writer.write_sound(piece)
        for frame in frames:
            writer.write(frame)


def lag_samples(a: np.ndarray, b: np.ndarray) -> float:
    """By how many samples `b` is later than `a`, to a fraction, by cross-correlation."""
    n = 1 << (2 * max(len(a), len(b)) - 1).bit_length()
    r = np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)))
    k = int(r.argmax())
    left, mid, right = r[k - 1], r[k], r[(k + 1) % n]
    fine = 0.5 * (left - right) / (left - 2 * mid + right)
    return (k if k < n // 2 else k - n) + fine


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_voice_keeps_rate_channels_place_and_both_ends(tmp_path: Path, rate: int, channels: int) -> None:
    audio = speech_like(int(rate * 1.617), rate, channels)
    path = tmp_path / "out.mp4"
    write(path, pictures(audio.chunk_count), audio)
    back = read_audio(path)
    assert back.rate == rate
    assert back.samples.shape[0] == channels
    length = audio.samples.shape[1]
    assert back.samples.shape[1] >= length, "nothing is cut off the end"
    lag_ms = lag_samples(audio.samples[0], back.samples[0, :length]) / rate * 1000
    print(f"{rate} Hz: voice late by {lag_ms:+.4f} ms")
    assert abs(lag_ms) < 0.1
    for end in (slice(0, 400), slice(length - 400, length)):
        a, b = audio.samples[0, end], back.samples[0, end]
        assert np.corrcoef(a, b)[0, 1] > 0.9, "nothing is faded at either end"


def test_both_streams_start_at_zero_and_frames_come_back_in_their_colours(tmp_path: Path) -> None:
    audio, frames = speech_like(48_000, 48_000, 1), pictures(25)
    path = tmp_path / "out.mp4"
    write(path, frames, audio)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.start_time, audio.start_time) == (0, 0)
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert video.average_rate == 25
        assert float(video.duration * video.time_base) == pytest.approx(1.0)
        assert video.codec_context.color_primaries == 1
    back = list(iter_video(path))
    assert len(back) == 25
    worst = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames, back, strict=True))
    assert worst < 3


def test_a_rate_that_aac_lacks_is_carried_at_48_khz(tmp_path: Path) -> None:
    audio = speech_like(11_000, 11_000, 1)
    path = tmp_path / "out.mp4"
    write(path, pictures(25), audio)
    back = read_audio(path)
    assert back.rate == 48_000
    assert back.samples.shape[1] >= 48_000


@pytest.mark.parametrize("frames", [0, 1, 10, 40])
def test_the_voice_is_whole_however_many_frames_there_are(tmp_path: Path, frames: int) -> None:
    audio = speech_like(16_000, 16_000, 1)
    path = tmp_path / "out.mp4"
    write(path, pictures(frames), audio)
    assert read_audio(path).samples.shape[1] >= 16_000


def test_without_audio_there_is_only_video(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, pictures(5), None)
    assert len(list(iter_video(path))) == 5
    with pytest.raises(MediaFileError, match="expected an audio stream, got video"):
        read_audio(path)


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("the old one")

    def interrupted() -> None:
        with MovieWriter(path, SIZE, 25, SoundFormat(16_000, 1)) as writer:
            writer.write(pictures(1)[0])
            assert path.read_text() == "the old one"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_text() == "the old one"
    write(path, pictures(3), None)
    assert len(list(iter_video(path))) == 3


def test_bad_frames_sizes_and_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaFileError, match=r"ends in \.mp4 or \.mov or \.webm"):
        MovieWriter(tmp_path / "out.xyz", SIZE)
    with pytest.raises(MediaFileError, match="even height and width"):
        MovieWriter(tmp_path / "out.mp4", (65, 96))
    with pytest.raises(MediaFileError, match="can't be written"):
        MovieWriter(tmp_path / "file" / "out.mp4", SIZE).__enter__()
    with MovieWriter(tmp_path / "out.mp4", SIZE) as writer:
        with pytest.raises(MediaFileError, match=r"expected frames uint8 \[64, 96, 3\], got uint8 \[8, 8, 3\]"):
            writer.write(np.zeros((8, 8, 3), np.uint8))
        writer.write(pictures(1)[0])


def codecs(path: Path) -> tuple[str, ...]:
    with av.open(str(path)) as container:
        return tuple(stream.codec_context.name for stream in container.streams)


@pytest.mark.parametrize(("name", "expected"), [("o.mov", ("h264", "aac")), ("o.WEBM", ("vp9", "opus"))])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_suffix_decides_the_container(tmp_path: Path, name: str, expected: tuple[str, ...], channels: int) -> None:
    audio, frames = speech_like(44_100, 44_100, channels), pictures(25)
    path = tmp_path / name
    write(path, frames, audio)
    assert codecs(path) == expected
    back = list(iter_video(path))
    assert len(back) == 25
    assert max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames, back, strict=True)) < 4
    sound = read_audio(path)
    assert sound.samples.shape[0] == channels
    assert 0.99 < sound.duration_s < 1.1
    whole = np.interp(np.arange(len(sound.samples[0])) * 44_100 / sound.rate, np.arange(44_100), audio.samples[0])
    assert abs(lag_samples(whole[:40_000], sound.samples[0, :40_000]) / sound.rate) < 0.001


def test_a_pipe_gets_an_mp4_that_needs_no_going_back(tmp_path: Path) -> None:
    read, write_end = os.pipe()
    got: list[bytes] = []

    def collect() -> None:
        with os.fdopen(read, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=collect)
    reader.start()
    with (
        os.fdopen(write_end, "wb") as pipe,
        MovieWriter(pipe, SIZE, 25, SoundFormat(16_000, 1), preset="ultrafast") as writer,
    ):
        for k, frame in enumerate(pictures(50)):
            writer.write_sound(speech_like(640, 16_000, 1).samples)
            writer.write(frame)
            assert k < 50
    reader.join()
    path = tmp_path / "piped.mp4"
    path.write_bytes(got[0])
    assert len(list(iter_video(path))) == 50
    assert read_audio(path).samples.shape[1] >= 32_000


@pytest.mark.parametrize("name", ["take:1.mp4", "data:x.webm", "ünïcode 名.mov", "a%d'b\"#?.mp4", "-x.mp4"])
def test_names_are_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), pictures(2), speech_like(1600, 16_000, 1))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list(iter_video(Path(name)))) == 2
    assert read_audio(Path(name)).samples.shape[1] >= 1600


def test_a_long_film_needs_no_index_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    with MovieWriter(path, SIZE, audio=SoundFormat(16_000, 1), preset="ultrafast", endless=True) as writer:
        for frame in pictures(40):
            writer.write_sound(speech_like(640, 16_000, 1).samples)
            writer.write(frame)
    assert b"moof" in path.read_bytes()
    assert len(list(iter_video(path))) == 40


def test_a_recording_is_encoded_without_being_held(tmp_path: Path) -> None:
    """Ten minutes of stereo are 230 MB when they are held whole."""
    path, rate = tmp_path / "long.wav", 48_000
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate, 0, "NONE", ""))
        second = (speech_like(rate, rate, 2).samples.T * 8000).astype("<i2").tobytes()
        for _ in range(600):
            file.writeframes(second)
    recording = Recording(path)
    assert recording.duration_s == pytest.approx(600)
    tracemalloc.start()
    with MovieWriter(tmp_path / "out.mp4", SIZE, audio=SoundFormat(rate, 2), preset="ultrafast") as writer:
        writer.write(pictures(1)[0])
        for piece in recording.pieces():
            writer.write_sound(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
