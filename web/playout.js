// The playing position of the voice on the server's clock, and muting of audio that was interrupted.

import { toUnixMs } from "./stats.js";

const POLL_MS = 20;
const BLIND_MS = 400; // longer than browsers buffer: used while they report no position, as Chromium in its first seconds
const PATIENCE_MS = 2000; // longer than any buffer: a stalled position must not mute the presenter forever

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The playing position of a connection's audio, in unix ms of the server's clock, as in the sender reports. */
export class Playout {
  #receiver;
  #playingMs = null;
  #readAtMs = 0;

  /** @param {RTCRtpReceiver} receiver of the presenter's voice */
  constructor(receiver) {
    this.#receiver = receiver;
  }

  /** Read it from the browser; null where it is not reported, or not yet. */
  async read() {
    const report = await this.#receiver.getStats();
    for (const entry of report.values()) {
      if (entry.type !== "inbound-rtp") continue;
      const playingMs = toUnixMs(entry.estimatedPlayoutTimestamp);
      // Browsers cache a report; its own timestamp tells since when the position has advanced.
      this.#readAtMs = entry.timestamp - performance.timeOrigin;
      this.#playingMs = playingMs;
    }
    return this.nowMs;
  }

  /** The position now, extrapolated from the latest reading; null where there is none. */
  get nowMs() {
    return this.#playingMs === null ? null : this.#playingMs + performance.now() - this.#readAtMs;
  }
}

/**
 * Mutes the voice at once, until all interrupted audio has passed.
 *
 * Switching the track off is as fast as muting the element (Chromium: 42 ms to silence at the sound card, both ways, for
 * `track.enabled`, `muted`, `volume` and `pause()` alike) and leaves the element's own mute to the user.
 */
export class InterruptMute {
  #track;
  #playout;
  #untilMs = -Infinity;
  #begunMs = 0;
  #waiting = false;

  constructor(track, playout) {
    this.#track = track;
    this.#playout = playout;
  }

  /** Mute audio stamped before `untilMs`, unix ms of the server's clock. */
  until(untilMs) {
    this.#track.enabled = false;
    this.#untilMs = Math.max(this.#untilMs, untilMs);
    this.#begunMs = performance.now();
    if (!this.#waiting) this.#wait();
  }

  async #wait() {
    this.#waiting = true;
    while (!(await this.#passed())) await pause(POLL_MS);
    this.#waiting = false;
    this.#track.enabled = true;
  }

  async #passed() {
    const playingMs = await this.#playout.read().catch(() => null); // a closed connection has no statistics
    const waitedMs = performance.now() - this.#begunMs;
    return playingMs === null ? waitedMs > BLIND_MS : playingMs >= this.#untilMs || waitedMs > PATIENCE_MS;
  }
}
