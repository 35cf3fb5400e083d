// One conversation: microphone up, voice and picture down, over one peer connection.

import { createSession, deleteSession, sendOffer } from "./api.js";

const GATHER_TIMEOUT_MS = 2000;
const CONNECT_TIMEOUT_MS = 15000;
const BUFFER_MS = { audio: 40, video: 50 };
const LOST_AFTER_MS = 6000;
const PING_INTERVAL_MS = 1000;

/** A failure to be shown to the person: what happened, and what to do about it. */
export class SessionError extends Error {
  constructor(title, advice) {
    super(advice);
    this.title = title;
  }
}

const MICROPHONE_ERRORS = {
  NotAllowedError: ["Microphone blocked", "Allow the microphone for this page in the address bar, then press start again."],
  NotFoundError: ["No microphone found", "Connect a microphone or choose another one, then press start again."],
  NotReadableError: ["Microphone is busy", "Another program is using it. Close that program, then press start again."],
  OverconstrainedError: ["Microphone not available", "The chosen microphone is gone. Choose another one, then press start again."],
};

/** Why this page can't have a microphone at all, or null. */
export function insecure() {
  if (window.isSecureContext && navigator.mediaDevices?.getUserMedia) return null;
  return new SessionError("This page is not secure", "Browsers give the microphone only to https:// pages and to http://localhost. Open the page that way.");
}

/** Ask for the microphone, with the browser's echo cancellation on. */
export async function openMicrophone(deviceId) {
  const reason = insecure();
  if (reason) throw reason;
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const known = MICROPHONE_ERRORS[error.name] ?? ["The microphone did not start", error.message || error.name];
    throw new SessionError(...known);
  }
}

/**
 * Events: "media" (detail: MediaStream), "live", "unstable", "stable", "stats" (detail: the server's message),
 * "lost" (detail: SessionError).
 */
export class Session extends EventTarget {
  #peer = new RTCPeerConnection();
  #channel = null;
  #id = null;
  #timers = [];
  #lostTimer = 0;
  #closed = false;
  /** Round trip on the data channel and the offset of the server's clock to `performance.now()`, both in ms. */
  clock = { roundTripMs: null, offsetMs: null };

  get peer() {
    return this.#peer;
  }

  /** Resolves once the connection stands; rejects with SessionError or ApiError. */
  async start(microphone, presenter) {
    this.#id = (await createSession(presenter)).id;
    if (this.#closed) return this.#release();
    this.#addMedia(microphone);
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    await this.#gathered();
    const answer = await sendOffer(this.#id, this.#peer.localDescription);
    if (this.#closed) return undefined;
    await this.#peer.setRemoteDescription(answer);
    this.#preferDelays();
    await this.#connected();
    this.#peer.onconnectionstatechange = () => this.#watch();
    return undefined;
  }

  #addMedia(microphone) {
    const [track] = microphone.getAudioTracks();
    this.#peer.addTransceiver(track, { direction: "sendrecv", streams: [microphone] });
    this.#peer.addTransceiver("video", { direction: "recvonly" });
    const received = new MediaStream();
    this.#peer.ontrack = ({ track: incoming }) => {
      received.addTrack(incoming);
      this.#emit("media", received);
    };
    this.#channel = this.#peer.createDataChannel("presenter");
    this.#channel.onopen = () => {
      this.#ping();
      this.#timers.push(setInterval(() => this.#ping(), PING_INTERVAL_MS));
    };
    this.#channel.onclose = () => this.#lose(); // known at once, where the connection itself takes seconds to notice
    this.#channel.onmessage = ({ data }) => this.#receive(JSON.parse(data));
  }

  #gathered() {
    if (this.#peer.iceGatheringState === "complete") return undefined;
    return new Promise((resolve) => {
      this.#timers.push(setTimeout(resolve, GATHER_TIMEOUT_MS));
      this.#peer.onicegatheringstatechange = () => this.#peer.iceGatheringState === "complete" && resolve();
    });
  }

  // Browsers hold sound longer than pictures and need ten seconds to find that out from the sender reports. Asking for the
  // difference at once puts the two in step from the first second.
  #preferDelays() {
    for (const receiver of this.#peer.getReceivers()) {
      const targetMs = BUFFER_MS[receiver.track.kind];
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = targetMs;
      else if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = targetMs / 1000;
    }
  }

  #connected() {
    const failure = new SessionError("No connection", "The server answered, but voice and picture could not get through. A firewall or VPN may block UDP between you and the server.");
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
    if (state === "connected") this.#emit("stable");
    if (state === "failed") this.#lose();
    if (state === "disconnected") {
      this.#emit("unstable");
      this.#lostTimer = setTimeout(() => this.#lose(), LOST_AFTER_MS);
    }
  }

  #lose(reason = "The connection to the server was lost. Press start to connect again.") {
    if (!this.#closed) this.#emit("lost", new SessionError("Connection lost", reason));
  }

  #ping() {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify({ type: "ping", sent_ms: performance.now() }));
  }

  #receive(message) {
    if (message.type === "pong") {
      const roundTripMs = performance.now() - message.sent_ms;
      // The shortest round trip says most about the clocks; later ones only replace it slowly.
      if (this.clock.offsetMs === null || roundTripMs <= this.clock.roundTripMs + 1) {
        this.clock.offsetMs = message.server_ms + roundTripMs / 2 - performance.now();
      }
      this.clock.roundTripMs = roundTripMs;
    } else if (message.type === "stats") {
      this.#emit("stats", message);
    } else if (message.type === "end") {
      this.#lose(message.message);
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Send another microphone without a new negotiation. */
  async replaceMicrophone(microphone) {
    const sender = this.#peer.getSenders().find(({ track }) => track?.kind === "audio");
    await sender?.replaceTrack(microphone.getAudioTracks()[0]);
  }

  async #release() {
    const id = this.#id;
    this.#id = null;
    if (id) await deleteSession(id);
  }

  /** Safe at any time and more than once. */
  close() {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#lostTimer);
    this.#peer.onconnectionstatechange = null;
    this.#channel?.close();
    this.#peer.close();
    return this.#release();
  }
}
