// One peer connection to a presenter: audio and video down, optionally a microphone up, and a data channel both ways.

import { InterruptMute, Playout } from "./playout.js";

const GATHER_TIMEOUT_MS = 2000;
const CONNECT_TIMEOUT_MS = 15000;
const BUFFER_MS = { audio: 40, video: 50 };
const LOST_AFTER_MS = 6000;
const PING_INTERVAL_MS = 250; // precision of the position that the server reports at an interruption

/** A failure to be shown to the user: what happened, and what to do about it. */
export class LinkError extends Error {
  constructor(title, advice) {
    super(advice);
    this.title = title;
  }
}

/** Throws LinkError where the browser has no WebRTC, or where it is disabled. */
function openPeer() {
  try {
    return new RTCPeerConnection();
  } catch {
    throw new LinkError("No WebRTC", "This browser has no WebRTC, or it is disabled. Enable it, or open the page in another browser.");
  }
}

/**
 * Events: "media" (detail: MediaStream), "unstable", "stable", "lost" (detail: LinkError), and the server's messages, as
 * detail of "stats", "state", "caption", "flush". A flush mutes the voice without further action.
 */
export class Link extends EventTarget {
  #peer = openPeer();
  #channel = null;
  #mute = null;
  #timers = [];
  #lostTimer = 0;
  /** The playing position of the voice on the server's clock; null before `connect`. */
  playout = null;
  closed = false;
  /** Round trip on the data channel and the offset of the server's clock to `performance.now()`, both in ms. */
  clock = { roundTripMs: null, offsetMs: null };

  get peer() {
    return this.#peer;
  }

  /**
   * Resolves once the connection is established; rejects with LinkError or what `exchange` throws.
   *
   * @param {(offer: RTCSessionDescription) => Promise<string>} exchange sends the offer to the server and returns the answer's SDP
   * @param {MediaStream} [microphone]
   */
  async connect(exchange, microphone) {
    this.#addMedia(microphone);
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    await this.#gathered();
    const sdp = await exchange(this.#peer.localDescription);
    if (this.closed) return;
    await this.#peer.setRemoteDescription({ type: "answer", sdp });
    this.#preferDelays();
    await this.#connected();
    this.#peer.onconnectionstatechange = () => this.#watch();
  }

  /** The position that is played now, unix ms of the server's clock, estimated. */
  get heardMs() {
    return this.playout?.nowMs ?? performance.now() + (this.clock.offsetMs ?? performance.timeOrigin);
  }

  #addMedia(microphone) {
    const track = microphone?.getAudioTracks()[0];
    const voice = this.#peer.addTransceiver(track ?? "audio", track ? { streams: [microphone] } : { direction: "recvonly" });
    this.#peer.addTransceiver("video", { direction: "recvonly" });
    this.playout = new Playout(voice.receiver);
    this.#mute = new InterruptMute(voice.receiver.track, this.playout);
    const received = new MediaStream();
    this.#peer.ontrack = ({ track: incoming }) => {
      received.addTrack(incoming);
      this.emit("media", received);
    };
    this.#openChannel();
  }

  #openChannel() {
    this.#channel = this.#peer.createDataChannel("presenter");
    this.#channel.onopen = () => {
      this.#ping();
      this.#timers.push(setInterval(() => this.#ping(), PING_INTERVAL_MS));
    };
    this.#channel.onclose = () => this.#lose(); // fires at once, while the connection state takes seconds to change
    this.#channel.onmessage = ({ data }) => this.#receive(JSON.parse(data));
  }

  #gathered() {
    if (this.#peer.iceGatheringState === "complete") return undefined;
    return new Promise((resolve) => {
      this.#timers.push(setTimeout(resolve, GATHER_TIMEOUT_MS));
      this.#peer.onicegatheringstatechange = () => this.#peer.iceGatheringState === "complete" && resolve();
    });
  }

  // Browsers buffer audio longer than video and need ten seconds to learn that from the sender reports. Requesting the
  // difference at once synchronises the two from the first second.
  #preferDelays() {
    for (const receiver of this.#peer.getReceivers()) {
      const targetMs = BUFFER_MS[receiver.track.kind];
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = targetMs;
      else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = targetMs / 1000;
    }
  }

  #connected() {
    const failure = new LinkError("No connection", "The server answered, but voice and picture could not get through. A firewall or VPN may block UDP between you and the server.");
    return new Promise((resolve, reject) => {
      const settle = () => {
        if (this.#peer.connectionState === "connected") resolve();
        else if (["failed", "closed"].includes(this.#peer.connectionState)) reject(failure);
      };
      this.#peer.onconnectionstatechange = settle;
      this.#timers.push(setTimeout(() => reject(failure), CONNECT_TIMEOUT_MS));
      settle();
    });
  }

  #watch() {
    clearTimeout(this.#lostTimer);
    const state = this.#peer.connectionState;
    if (state === "connected") this.emit("stable");
    if (state === "failed") this.#lose();
    if (state === "disconnected") {
      this.emit("unstable");
      this.#lostTimer = setTimeout(() => this.#lose(), LOST_AFTER_MS);
    }
  }

  #lose(reason = "The connection to the server was lost. Press start to connect again.") {
    if (!this.closed) this.emit("lost", new LinkError("Connection lost", reason));
  }

  #send(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  async #ping() {
    const playingMs = await this.playout.read().catch(() => null); // null also when the connection has just been closed
    this.#send({ type: "ping", sent_ms: performance.now(), playing_ms: playingMs, round_trip_ms: this.clock.roundTripMs });
  }

  #receive(message) {
    if (message.type === "pong") this.#compareClocks(message);
    else if (message.type === "end") this.#lose(message.message);
    else {
      if (message.type === "flush") this.#mute.until(message.until_ms); // before other handlers take time
      this.emit(message.type, message);
    }
  }

  #compareClocks({ sent_ms: sentMs, server_ms: serverMs }) {
    const roundTripMs = performance.now() - sentMs;
    // The shortest round trip gives the best estimate of the clock offset; later ones replace it slowly.
    if (this.clock.offsetMs === null || roundTripMs <= this.clock.roundTripMs + 1) {
      this.clock.offsetMs = serverMs + roundTripMs / 2 - performance.now();
    }
    this.clock.roundTripMs = roundTripMs;
  }

  /** Interrupt the presenter: muted here at once, stopped by the server later; its flush says until when to mute. */
  interrupt() {
    this.#send({ type: "interrupt" });
    if (this.clock.offsetMs !== null) this.#mute.until(performance.now() + this.clock.offsetMs);
  }

  /** Send another microphone without a new negotiation. */
  async replaceMicrophone(microphone) {
    const sender = this.#peer.getSenders().find(({ track }) => track?.kind === "audio");
    await sender?.replaceTrack(microphone.getAudioTracks()[0]);
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Safe at any time and more than once. */
  close() {
    this.closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#lostTimer);
    this.#peer.onconnectionstatechange = null;
    this.#channel?.close();
    this.#peer.close();
  }
}
