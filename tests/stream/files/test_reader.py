"""Any file in: whole, at its own rate; and clear errors for what can't be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.errors import MediaFileError
from stream.files.movie import MovieWriter
from stream.files.reader import iter_frames, iter_video, read_audio, video_format


def tone(samples: int, rate: int, channels: int = 1) -> np.ndarray:
    """Float [C, N]; the channels differ in level."""
    x = 0.3 * np.sin(2 * np.pi * 300 * np.arange(samples) / rate)
    return np.stack([x / (k + 1) for k in range(channels)]).astype(np.float32)


def write_audio(path: Path, x: np.ndarray, rate: int, codec: str = "pcm_s16le") -> Path:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[x.shape[0]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, stream.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def write_video(path: Path, values: list[int], fps: Fraction, times: list[int] | None = None) -> Path:
    """Grey frames; `times` in units of 1/1000 s make the rate variable."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10", "bf": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, value in enumerate(values):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), value, np.uint8), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path, fps: int = 25) -> list[int]:
    return [round(float(rgb.mean())) for rgb in iter_video(path, fps)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_is_read_sample_for_sample(tmp_path: Path, rate: int, channels: int) -> None:
    x = tone(rate + 77, rate, channels)
    audio = read_audio(write_audio(tmp_path / "x.wav", x, rate))
    assert audio.rate == rate
    assert audio.samples.shape == x.shape
    assert np.abs(audio.samples - x).max() < 1 / 32000
    assert audio.duration_s == pytest.approx(1 + 77 / rate)


@pytest.mark.parametrize(
    ("name", "codec"), [("x.flac", "flac"), ("x.mp3", "mp3"), ("x.ogg", "libopus"), ("x.m4a", "aac")]
)
def test_other_containers_keep_length_and_place(tmp_path: Path, name: str, codec: str) -> None:
    x = tone(48_000, 48_000)
    x[:, :20_000] = 0
    audio = read_audio(write_audio(tmp_path / name, x, 48_000, codec))
    assert audio.rate == 48_000
    assert audio.samples.shape[1] >= 48_000 - 1
    onset = int((np.abs(audio.samples[0]) > 0.1).argmax())
    assert abs(onset - 20_000) < 100, "priming of the codec is skipped"


def test_surround_is_mixed_to_stereo(tmp_path: Path) -> None:
    audio = read_audio(write_audio(tmp_path / "x.wav", tone(4800, 48_000, 6), 48_000))
    assert audio.samples.shape == (2, 4800)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("extra", [0, 1, 500])
def test_chunks_cover_the_recording_exactly(tmp_path: Path, rate: int, extra: int) -> None:
    audio = read_audio(write_audio(tmp_path / "x.wav", tone(rate * 3 + extra, rate, 2), rate))
    chunks = list(audio.chunks())
    assert len(chunks) == audio.chunk_count == -(-(3 * rate + extra) * 25 // rate)
    assert [chunk.pts for chunk in chunks] == [640 * k for k in range(len(chunks))]


def test_sound_is_read_out_of_a_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 64
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        frame = av.AudioFrame.from_ndarray((tone(1600, 16_000) * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    assert read_audio(path).samples.shape == (1, 1600)


@pytest.mark.parametrize("late_ms", [-80, 0, 120])
def test_sound_can_be_read_from_the_first_picture_on(tmp_path: Path, late_ms: int) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.full((1, 8000), 1000, np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 16_000, Fraction(1, 16_000), 16_000 + late_ms * 16
        container.mux(audio.encode(sound))
        for k in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts, picture.time_base = 25 + k, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    as_it_is, in_step = read_audio(path), read_audio(path, from_first_frame=True)
    assert as_it_is.samples.shape == (1, 8000 + max(0, late_ms) * 16), "sound that starts late keeps its place"
    assert in_step.samples.shape == (1, 8000 + late_ms * 16)
    assert int((in_step.samples[0] > 0).argmax()) == max(0, late_ms) * 16


@pytest.mark.parametrize(
    ("fps", "count", "expected"),
    [
        (Fraction(25), 10, [*range(0, 100, 10)]),
        (Fraction(50), 10, [0, 20, 40, 60, 80]),
        (Fraction(5), 3, [0] * 5 + [10] * 5 + [20] * 5),
        (Fraction(30), 6, [0, 10, 20, 30, 40]),
        (Fraction(30000, 1001), 6, [0, 10, 20, 30, 40, 50]),
    ],
    ids=["25", "50", "5", "30", "29.97"],
)
def test_video_is_resampled_to_25_fps(tmp_path: Path, fps: Fraction, count: int, expected: list[int]) -> None:
    values = [20 + 10 * k for k in range(count)]
    got = shown(write_video(tmp_path / "x.mp4", values, fps))
    assert len(got) == len(expected)
    assert np.abs(np.array(got) - 20 - expected).max() <= 3


def test_a_variable_rate_shows_what_a_player_would(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mkv", [50, 100, 150, 200], Fraction(25), times=[0, 35, 130, 160])
    got = shown(path)
    assert np.abs(np.array(got[:5]) - [50, 100, 100, 100, 200]).max() <= 3


def test_a_still_image_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 77, np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (picture,) = iter_video(path)
    assert picture.shape == (16, 32, 3)
    assert (picture == 77).all()


def test_what_cannot_be_read_is_said_clearly(tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(bytes(range(256)) * 20)
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    silent = write_video(tmp_path / "silent.mp4", [10, 20], Fraction(25))
    sound = write_audio(tmp_path / "sound.wav", tone(1600, 16_000), 16_000)
    for path, text in [
        (tmp_path / "none.wav", "expected a file, got nothing there"),
        (tmp_path, "expected a file"),
        (noise, "noise.wav: expected audio or video, got"),
        (empty, "empty.mp4: expected audio or video, got"),
        (silent, "expected an audio stream, got video"),
    ]:
        with pytest.raises(MediaFileError, match=text):
            read_audio(path)
    with pytest.raises(MediaFileError, match="expected a video stream, got audio"):
        list(iter_video(sound))
    with pytest.raises(MediaFileError, match="expected a file"):
        list(iter_video(tmp_path / "none.mp4"))


@pytest.mark.parametrize(("name", "codec"), [("x.wav", "pcm_s16le"), ("x.mp3", "mp3"), ("x.ogg", "libopus")])
def test_a_recording_that_broke_off_is_read_as_far_as_it_goes(tmp_path: Path, name: str, codec: str) -> None:
    whole = write_audio(tmp_path / name, tone(96_000, 48_000), 48_000, codec).read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    assert 40_000 < read_audio(cut).samples.shape[1] < 96_000


def damaged(path: Path, every: int = 3000) -> Path:
    """Overwrite a few bytes here and there, behind the header."""
    data = bytearray(path.read_bytes())
    for at in range(2000, len(data) * 3 // 4, every):
        data[at : at + 8] = b"\x55" * 8
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "codec"), [("x.mp3", "mp3"), ("x.flac", "flac"), ("x.m4a", "aac")])
def test_a_damaged_recording_is_decoded_with_one_warning(
    tmp_path: Path, name: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).standard_normal((1, 240_000)).astype(np.float32) * 0.1
    path = damaged(write_audio(tmp_path / name, noise, 48_000, codec))
    audio = read_audio(path)
    assert 3.5 < audio.duration_s < 5.2
    assert [record.message for record in caplog.records if name in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) <= 1


def test_lost_packets_leave_silence_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_audio(tmp_path / "whole.mkv", tone(144_000, 48_000), 48_000, "flac")
    path = tmp_path / "x.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is None or 0.5 < packet.pts * packet.time_base < 1.5:
                continue
            broken = 2.0 < packet.pts * packet.time_base < 2.2
            copy = av.Packet(b"\xff" * packet.size if broken else bytes(packet))
            copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, stream
            target.mux(copy)
    audio = read_audio(path)
    assert audio.duration_s == pytest.approx(3, abs=0.15)
    assert np.abs(audio.samples[0, 30_000:66_000]).max() == 0
    assert np.abs(audio.samples[0, 120_000:140_000]).max() > 0.2
    (record,) = caplog.records
    assert "x.mkv is damaged" in record.message


def test_samples_that_are_no_numbers_are_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = tone(16_000, 16_000)
    x[0, 1000:1010] = np.nan
    x[0, 2000] = np.inf
    audio = read_audio(write_audio(tmp_path / "x.wav", x, 16_000, "pcm_f32le"))
    assert np.isfinite(audio.samples).all()
    assert audio.samples.shape == x.shape
    assert len(caplog.records) == 1


def test_streams_are_chosen_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for k, stream in enumerate(streams):
            level = np.full((1, 1600), 1000 * (k + 1), np.int16)
            frame = av.AudioFrame.from_ndarray(level, format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    levels = [round(float(read_audio(path, stream=n).samples.max()) * 32768) for n in (1, 2)]
    assert levels == [1000, 2000]
    assert read_audio(path).samples.shape == (1, 1600)
    with pytest.raises(MediaFileError, match=r"from 1 to 2, got 3; there are 1 \(mono\), 2 \(mono\)"):
        read_audio(path, stream=3)


@pytest.mark.parametrize("name", ["list.m3u8", "list.wav", "x.mp4"])
@pytest.mark.parametrize("kind", ["playlist", "concat", "sdp", "dash", "image list"])
def test_files_that_refer_to_others_are_not_opened(tmp_path: Path, name: str, kind: str) -> None:
    secret = write_audio(tmp_path / "secret.wav", tone(16_000, 16_000), 16_000)
    text = {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        "image list": "%d.png\n",
    }[kind]
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MediaFileError, match="expected audio or video, got a file that is damaged"):
        read_audio(path)


@pytest.mark.parametrize("name", ["concat:a.wav", "data:audio", "http:", "tcp:1", "-", "名é.wav"])
def test_a_name_is_never_a_protocol(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "plain.wav", tone(1600, 16_000), 16_000).rename(tmp_path / name)
    assert read_audio(Path(name)).samples.shape == (1, 1600)


def test_every_picture_comes_once_at_its_own_time(tmp_path):
    path = tmp_path / "x.mp4"
    rate = Fraction(24000, 1001)
    with MovieWriter(path, (32, 32), rate, preset="ultrafast") as writer:
        for k in range(60):
            writer.write(np.full((32, 32, 3), 4 * k, np.uint8))
    found = list(iter_frames(path))
    assert [each.time for each in found] == [k / rate for k in range(60)]
    assert video_format(path)[::2] == (rate, 60)
    later = list(iter_frames(path, 41 / rate))
    assert [each.time for each in later] == [k / rate for k in range(41, 60)]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(later, found[41:], strict=True))


@pytest.mark.parametrize("gap_s", [700, 10**9])
def test_a_frame_that_comes_much_too_late_is_refused(tmp_path: Path, gap_s: int) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for ms in (0, 40, 80, 1000 * gap_s):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    frames = iter_frames(path)
    assert [float(next(frames).time) for _ in range(3)] == [0, 0.04, 0.08]
    with pytest.raises(MediaFileError, match=r"gap\.mkv: expected frames that follow one another.*0\.1 s"):
        next(frames)
