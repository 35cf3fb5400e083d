"""A voice bot in thirty lines: speaks a recording, follows its playback, and interrupts itself.

    presenter serve
    python examples/bot.py speech.wav

Open the address that it prints. With `--interrupt 2` it interrupts after two seconds, as a bot does when its user
begins to speak, and prints how much was heard.
"""

import argparse
import asyncio
import wave

from presenter.client import connect
from stream.wire import Playback, SpeakEnded


async def main() -> None:
    """Speak, follow, and interrupt if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", help="a WAV with 16-bit samples")
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--token")
    parser.add_argument("--wait", type=float, default=8.0, help="seconds to open the page before it speaks")
    parser.add_argument("--interrupt", type=float, help="interrupt after so many seconds")
    arguments = parser.parse_args()

    with wave.open(arguments.recording) as file:
        rate, channels, pcm = file.getframerate(), file.getnchannels(), file.readframes(file.getnframes())
    async with connect(arguments.url, token=arguments.token) as presenter:
        print("watch at", presenter.viewer_url, flush=True)
        await asyncio.sleep(arguments.wait)
        await presenter.speak(pcm, rate, channels=channels)
        async for event in presenter:
            if isinstance(event, Playback):
                print(f"played: {event.played_ms / 1000:.1f} s", flush=True)
                if arguments.interrupt is not None and event.played_ms >= 1000 * arguments.interrupt:
                    interrupted = await presenter.interrupt()
                    print(f"interrupted after {interrupted.played_ms} ms")
                    break
            elif isinstance(event, SpeakEnded):
                print(f"said all of it: {event.played_ms} ms")
                break
        await asyncio.sleep(1.0)


if __name__ == "__main__":
    asyncio.run(main())
