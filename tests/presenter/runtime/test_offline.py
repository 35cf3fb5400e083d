"""Offline rendering is the live path with files at its ends."""

import wave

import av
import cv2
import numpy as np
import pytest

from presenter.cli import main
from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.runtime.offline import render_frames
from stream.files.reader import read_audio
from stream.media import CHUNK_SAMPLES


@pytest.fixture
def recording(tmp_path):
    """1.3 s at 44.1 kHz: no whole number of chunks, not the model's rate."""
    rng = np.random.default_rng(0)
    t = np.arange(int(1.3 * 44100)) / 44100
    pcm = (0.2 * rng.standard_normal(len(t)) * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1) * 32767).astype(np.int16)
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44100, len(pcm), "NONE", ""))
        file.writeframes(pcm.tobytes())
    return path


def test_offline_equals_streaming(recording):
    engine = Engine.load(load_config("tiny"))
    stored = IdentityStore(recording.parent / "own").load("default")
    audio = read_audio(recording)
    renderer = engine.renderer(stored)
    offline = [frame for frame in render_frames(renderer, audio)]
    renderer.close()
    live = engine.renderer(stored)
    streamed = []
    for chunk in audio.chunks():
        streamed += [frame for _, frame in live.push(chunk)]
    streamed += [frame for _, frame in live.flush()]
    assert [f.pts for f in offline] == [k * CHUNK_SAMPLES for k in range(audio.chunk_count)]
    assert len(offline) == len(streamed)
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(offline, streamed, strict=True))


def test_render_writes_sound_and_picture(recording, tmp_path):
    out = tmp_path / "out.mp4"
    assert main(["--config", "tiny", "render", "--audio", str(recording), "--out", str(out)]) == 0
    with av.open(str(out)) as file:
        frames = sum(1 for _ in file.decode(video=0))
    audio = read_audio(out)
    assert frames == 33  # 1.3 s at 25 fps, the last one begun
    assert audio.rate == 44100
    assert audio.duration_s >= 1.3


def test_render_of_a_missing_file_says_so(tmp_path, capsys):
    assert main(["--config", "tiny", "render", "--audio", str(tmp_path / "no.wav"), "--out", "x.mp4"]) == 2
    assert "no.wav" in capsys.readouterr().err


def test_render_with_an_unknown_presenter_lists_the_known(recording, capsys, tmp_path):
    arguments = ["--config", "tiny", "render", "--audio", str(recording), "--presenter", "nobody"]
    assert main([*arguments, "--out", str(tmp_path / "x.mp4")]) == 2
    assert "default" in capsys.readouterr().err
    assert not (tmp_path / "x.mp4").exists()


def test_doctor_finds_this_machine_fit(capsys):
    main(["--config", "tiny", "doctor"])
    printed = capsys.readouterr().out
    assert "ok   presenters: default" in printed
    assert "ok   video codec" in printed
    assert "ok   face tracker" in printed


def test_server_refuses_the_open_network_without_a_token(capsys):
    assert main(["--config", "tiny", "serve", "--host", "0.0.0.0"]) == 2
    assert "--token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("wide.mp4", ["--size", "320x180", "--background", "blur"], (180, 320)),
        ("near.mp4", ["--framing", "close"], (512, 512)),
        ("clear.webm", ["--background", "transparent"], (512, 512)),
        ("clear.mov", ["--background", "transparent", "--size", "320x180"], (180, 320)),
        ("clear/", ["--background", "transparent"], (512, 512)),
    ],
)
def test_a_film_has_the_size_and_the_background_that_were_asked_for(recording, tmp_path, name, options, shape):
    out = f"{tmp_path}/{name}"
    assert main(["--config", "tiny", "render", "--audio", str(recording), "--out", out, *options]) == 0
    if name.endswith("/"):
        alpha = cv2.imread(out + "000001.png", cv2.IMREAD_UNCHANGED)[..., 3]
    else:
        with av.open(out) as film:
            stream = film.streams.video[0]
            # FFmpeg's own decoder of VP9 leaves alpha out.
            decoder = av.CodecContext.create("libvpx-vp9", "r") if name.endswith(".webm") else None
            frames = (
                frame
                for packet in film.demux(stream)
                for frame in (decoder.decode(packet) if decoder else packet.decode())
            )
            alpha = next(frames).to_ndarray(format="rgba")[..., 3]
    assert alpha.shape == shape
    if "transparent" in options:
        assert alpha[2, 2] == 0
        assert alpha[shape[0] * 6 // 10, shape[1] // 2] == 255
    else:
        assert (alpha == 255).all()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("x.mp4", ["--background", "transparent"], ".mov, .webm, or pictures"),
        ("x.mp4", ["--size", "big"], "size: expected"),
        ("x.mp4", ["--framing", "near"], "framing: expected wide, medium, close"),
        ("x.mp4", ["--background", "mauve"], "background: expected"),
        ("x.mp4", ["--video", "v.mp4", "--size", "720p"], "keeps its size"),
    ],
)
def test_what_cant_be_shown_is_refused_before_any_work(recording, tmp_path, capsys, name, options, said):
    out = tmp_path / name
    assert main(["--config", "tiny", "render", "--audio", str(recording), "--out", str(out), *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_background_is_never_overwritten(recording, tmp_path, capsys):
    room = tmp_path / "room.png"
    cv2.imwrite(str(room), np.zeros((8, 8, 3), np.uint8))
    film = tmp_path / "room.mp4"
    film.symlink_to(room)
    arguments = ["render", "--audio", str(recording), "--background", str(room), "--out", str(film), "--overwrite"]
    assert main(["--config", "tiny", *arguments]) == 2
    assert "room" in capsys.readouterr().err
