"""Records a PulseAudio source in a process of its own, as a meeting client would, and reports when beeps began.

    python -m presenter.bench.listener SOURCE

prints a line of JSON when its input ends: the times of the beeps in seconds of `time.monotonic`, as a program that
records gets them, which is some ms after they passed the source.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time

from presenter.bench.beeps import BeepDetector
from stream.media import PLAYOUT_RATE
from stream.pcm.drift import ClockFilter
from stream.pcm.formats import AudioFormat, PcmDecoder

_RECORD = ("parec", "--raw", "--format=s16le", f"--rate={PLAYOUT_RATE}", "--channels=1", "--latency-msec=10")
_MOST_BYTES = 1 << 16
_AWAKE = 3 * PLAYOUT_RATE  # until then a source is irregular, which would disturb a clock estimate for a minute


def listen(source: str) -> list[float]:
    """Record until standard input ends; returns when beeps began."""
    finder, clock, decoder = BeepDetector(), ClockFilter(PLAYOUT_RATE), PcmDecoder(AudioFormat(PLAYOUT_RATE))
    times: list[float] = []
    heard = last = 0
    with subprocess.Popen([*_RECORD, f"--device={source}"], stdout=subprocess.PIPE) as recorder:
        assert recorder.stdout is not None
        pipe = recorder.stdout.fileno()
        while True:
            ready, _, _ = select.select([pipe, sys.stdin], [], [])
            if sys.stdin in ready:
                break
            sound = decoder.push(os.read(pipe, _MOST_BYTES))
            if not len(sound):
                break
            if heard < _AWAKE <= heard + len(sound):
                clock.reset()
            clock.observe(last, time.monotonic() - len(sound) / PLAYOUT_RATE)
            finder.push(sound, heard)
            times += [clock.time_s + (place - heard) * clock.period_s for place in finder.found[len(times) :]]
            heard, last = heard + len(sound), len(sound)
        recorder.terminate()
    return times


if __name__ == "__main__":
    print(json.dumps(listen(sys.argv[1])), flush=True)
