"""Decodes the bytes of one utterance: the announced PCM or a WAV; anything else is refused."""

from __future__ import annotations

import re

from stream.errors import StreamError
from stream.media import Int16Array
from stream.pcm.foreign_formats import control_word, find_container, is_float, looks_like_float
from stream.pcm.formats import AudioFormat, PcmDecoder
from stream.pcm.wav_header import WavHeader, is_wav

_FLOAT_BYTES = 2048  # of audio that is not silent, to tell float from integer samples
_FLOAT_SAMPLE_BYTES = 4
_WAVS_PER_MESSAGE = 16
_WAV = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_WAV_BYTES = 12


class SpeechDecoder:
    """Decodes PCM of the announced format, or a WAV stream with the format of its header.

    A stream that is none of both is refused from its first message to its last. At the start of a stream up to some
    milliseconds are held until it is clear what they are.
    """

    def __init__(self, announced: AudioFormat) -> None:
        """Begin a stream.

        Args:
            announced: the format that the sender has announced.
        """
        self.announced = announced
        self._pcm = PcmDecoder(announced)
        self._held = b""
        self._decided = False  # whether it is clear that the stream is in no container
        self._samples_decided = announced.encoding == "mulaw"  # whether it is clear that they are as announced
        self._passed = 0  # bytes of silence before that is clear
        self._header: WavHeader | None = None
        self._left: int | None = None  # audio bytes of the WAV to come, None if it does not tell
        self._refused: str | None = None

    @property
    def rate(self) -> int:
        """Samples per second of what `push` returns."""
        return self._pcm.format.rate

    def push(self, data: bytes) -> Int16Array:
        """Add a message's bytes; returns the samples they complete.

        Returns:
            int16 `[N]` for one channel, `[N, 2]` for two; N may be 0.

        Raises:
            StreamError: if the stream is not PCM of the announced format, says what was found.
        """
        if self._refused is None and (word := control_word(data)) is not None:
            raise StreamError(f"binary message: expected audio, got the text {word!r}")
        if self._refused is None:
            try:
                audio = self._audio(data)  # may change the format
                return self._pcm.push(audio)
            except StreamError as error:
                self._refused = str(error)
        raise StreamError(self._refused)

    def flush(self) -> Int16Array:
        """End the stream; returns the samples that were held."""
        held, self._held = self._held, b""
        return self._pcm.push(b"" if self._refused or self._header is not None or is_wav(held) else held)

    def _audio(self, data: bytes) -> bytes:
        """Return the audio among bytes."""
        if self._header is None and is_wav((self._held + data[:_WAV_BYTES])[:_WAV_BYTES]):
            self._header = WavHeader()
        if self._header is not None:
            return self._wav_audio(self._header, data)
        data, self._held = self._held + data, b""
        if not self._decided:
            self._decided, found = find_container(data)
            if found is not None:
                raise StreamError(self._expected(found))
            if not self._decided:
                self._held = data
                return b""
        return data if self._samples_decided else self._checked(data)

    def _wav_audio(self, header: WavHeader, data: bytes) -> bytes:
        """Return the audio of a WAV, and of those behind it: some services send one for each sentence."""
        data, self._held = self._held + data, b""
        audio: list[bytes] = []
        for _ in range(_WAVS_PER_MESSAGE):
            if header.format is None:
                data = header.push(data)
                if header.format is None:
                    return b"".join(audio)
                if header.format != self._pcm.format:
                    self._pcm = PcmDecoder(header.format)
                self._left = header.audio_bytes
            elif is_wav(data[:_WAV_BYTES]):  # behind audio of unknown length
                self._left = 0
            if self._left is None:
                return b"".join([*audio, data])
            audio.append(data[: self._left])
            data = self._next_wav(data[self._left :])
            self._left -= len(audio[-1])
            if not data:
                return b"".join(audio)
            self._header = header = WavHeader()
        raise StreamError(f"WAV: expected at most {_WAVS_PER_MESSAGE} in a message, got more")

    def _next_wav(self, rest: bytes) -> bytes:
        """Return what begins with the next WAV, after other chunks; holds what may be the beginning of one."""
        if (found := _WAV.search(rest)) is not None:
            return rest[found.start() :]
        self._held = rest[-_WAV_BYTES + 1 :]
        return b""

    def _checked(self, data: bytes) -> bytes:
        """Return samples of 16 bits, or float, after checking that they are not the other; silence may be either."""
        begin = len(data) - len(data.lstrip(b"\0"))
        if begin == len(data):
            self._passed += len(data)
            return data
        begin += -(self._passed + begin) % _FLOAT_SAMPLE_BYTES  # float samples are aligned to the start of the stream
        sound = data[begin : begin + _FLOAT_BYTES]
        announced_float = self.announced.encoding == "pcm_f32le"
        found_float = is_float(sound) if announced_float else looks_like_float(sound)
        if found_float is None and len(sound) < _FLOAT_BYTES:
            self._held = data
            return b""
        if found_float not in (None, announced_float):
            found = "samples that are not float, or beyond -1 to 1" if announced_float else "32-bit float samples"
            raise StreamError(self._expected(found))
        self._samples_decided = True
        return data

    def _expected(self, found: str) -> str:
        announced = self.announced
        return f"audio: expected {announced.encoding} of {announced.rate} Hz or WAV, got {found}"
