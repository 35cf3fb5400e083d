// Live figures, read from getStats() and from the server's messages.

const FPS_READINGS = 9; // about two seconds: single readings count 5, 6 or 7 frames
const NTP_TO_UNIX_MS = 2208988800000;

/** Chromium counts estimatedPlayoutTimestamp from 1900, others may count from 1970; null where there is none. */
export const toUnixMs = (ntp) => (ntp === undefined ? null : ntp > 3e12 ? ntp - NTP_TO_UNIX_MS : ntp);

/** Reads one peer connection repeatedly; rates are over the time since the previous reading. */
export class Figures {
  #peer;
  #clock;
  #previousAudio = null;
  #videos = [];
  /** The server's latest "stats" message. */
  server = null;

  constructor(peer, clock) {
    this.#peer = peer;
    this.#clock = clock;
  }

  /**
   * @returns {Promise<{latencyMs, skewMs, fps, roundTripMs, microphoneLevel, voiceLevel, framesDropped}>}
   *   numbers, or null where the browser does not report them. `skewMs` > 0: audio is later than video.
   */
  async read() {
    const nowMs = performance.now();
    const parts = this.#sort(await this.#peer.getStats());
    const audioMs = toUnixMs(parts.audio?.estimatedPlayoutTimestamp);
    const videoMs = toUnixMs(parts.video?.estimatedPlayoutTimestamp);
    const roundTripMs = parts.pair?.currentRoundTripTime !== undefined ? parts.pair.currentRoundTripTime * 1000 : this.#clock.roundTripMs;
    const fps = this.#framesPerSecond(parts.video);
    const summedMs = this.#summedLatency(parts.audio, roundTripMs);
    return {
      latencyMs: this.#latency(audioMs ?? videoMs, nowMs) ?? summedMs,
      skewMs: audioMs !== null && videoMs !== null ? videoMs - audioMs : null,
      fps,
      roundTripMs,
      microphoneLevel: parts.source?.audioLevel ?? null,
      voiceLevel: parts.audio?.audioLevel ?? null,
      framesDropped: parts.video?.framesDropped ?? null,
    };
  }

  #sort(report) {
    const parts = {};
    for (const entry of report.values()) {
      if (entry.type === "inbound-rtp") parts[entry.kind] = entry;
      if (entry.type === "media-source" && entry.kind === "audio") parts.source = entry;
      if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") parts.pair = entry;
    }
    return parts;
  }

  #framesPerSecond(video) {
    if (!video) return null;
    this.#videos.push(video);
    if (this.#videos.length > FPS_READINGS) this.#videos.shift();
    const before = this.#videos[0];
    if (video.timestamp - before.timestamp < 900) return null;
    return ((video.framesDecoded - before.framesDecoded) * 1000) / (video.timestamp - before.timestamp);
  }

  // The sender stamps audio and video with the server's clock; `latency_ms.out` is how much later that is than the arrival
  // of the matching microphone audio. So the playing position gives the time at which its speech arrived.
  #latency(playingMs, nowMs) {
    const { offsetMs, roundTripMs } = this.#clock;
    if (playingMs === null || offsetMs === null || this.server?.latency_ms?.out == null) return null;
    const arrivedMs = playingMs - this.server.latency_ms.out;
    return nowMs + offsetMs - arrivedMs + roundTripMs / 2;
  }

  // Without playout stamps: the server's share, the network, and the browser's own buffer.
  #summedLatency(audio, roundTripMs) {
    const before = this.#previousAudio;
    this.#previousAudio = audio;
    const emitted = audio && before ? audio.jitterBufferEmittedCount - before.jitterBufferEmittedCount : 0;
    if (!emitted || this.server?.latency_ms?.out == null || roundTripMs === null) return null;
    const bufferMs = ((audio.jitterBufferDelay - before.jitterBufferDelay) / emitted) * 1000;
    return this.server.latency_ms.out + roundTripMs + bufferMs;
  }
}

/** A running median over the last `size` numbers, so that figures are readable. */
export class Median {
  #values = [];
  #size;

  constructor(size) {
    this.#size = size;
  }

  push(value) {
    if (value === null || !Number.isFinite(value)) return this.value;
    this.#values.push(value);
    if (this.#values.length > this.#size) this.#values.shift();
    return this.value;
  }

  get value() {
    if (!this.#values.length) return null;
    const sorted = [...this.#values].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
}
