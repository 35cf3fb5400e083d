// A client for voice bots in Node 22 or later, Deno, or a page of the server itself: sends a bot's speech to a presenter.
// Pages of other origins may watch, but not send speech.
//
//   import { Presenter } from "./web/client.js";
//
//   const presenter = await Presenter.connect({ url: "http://localhost:8080", presenter: "default" });
//   console.log("watch it at", presenter.viewerUrl);
//   const utterance = presenter.speak({ sampleRate: 24000 });
//   for await (const pcm of tts(text)) if (!(await utterance.write(pcm))) break; // false: interrupted
//   utterance.end();
//   const { played_ms } = await presenter.interrupt(); // how much of it was heard

import { Credit, Utterance } from "./utterance.js";

/** An error; `code` is stable, the message is for people. */
export class PresenterError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * The server's events, by `type`; times are milliseconds of speech from the start of the utterance.
 *
 * @typedef {object} PresenterEvents
 * @property {{state: "idle" | "listening" | "speaking"}} state
 * @property {{utterance_id: string}} speak_started
 * @property {{name: string, played_ms: number}} mark
 * @property {{utterance_id: string, played_ms: number}} playback
 * @property {{utterance_id: string, played_ms: number}} speak_ended
 * @property {{utterance_id: string | null, played_ms: number, request_id?: string}} interrupted
 * @property {{free_ms: number, buffered_ms: number, received_ms: number}} credit
 * @property {object} stats
 * @property {{code: string, message: string, expected?: string, count?: number}} error
 * @property {{code: number, reason: string}} close
 */

/** One session with a presenter, over its speech socket. */
export class Presenter {
  /** Id of the session, also for viewers. */
  id;
  /** A page that shows the presenter, to be opened or put into an `<iframe allow="autoplay">`. */
  viewerUrl;
  #url;
  #token;
  #socket;
  #listeners = new Map();
  #credit = new Credit();
  #utterance = null;
  #interrupts = new Map(); // request id -> what settles the promise of `interrupt`

  /** Use `Presenter.connect`. */
  constructor(url, token, id) {
    this.#url = url;
    this.#token = token;
    this.id = id;
    this.viewerUrl = new URL(`/embed?session=${id}`, url).href;
  }

  /**
   * Open a session and its speech socket.
   *
   * @param {{url: string, presenter?: string, token?: string}} options `url` of the server; `presenter` by name
   * @returns {Promise<Presenter>} when speech may be sent
   * @throws {PresenterError} if the server refuses, for example with code "capacity" or "unauthorized"
   */
  static async connect({ url, presenter = "default", token = "" }) {
    const headers = { "Content-Type": "application/json", ...authorization(token) };
    const body = JSON.stringify({ presenter, microphone: "off" });
    const response = await fetch(new URL("/api/sessions", url), { method: "POST", headers, body });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new PresenterError(answer.error?.code ?? "http", answer.error?.message ?? `HTTP ${response.status}`);
    const made = new Presenter(url, token, answer.id);
    await made.#open();
    return made;
  }

  #open() {
    const address = new URL(`/api/sessions/${this.id}/audio?dialect=native`, this.#url);
    address.protocol = address.protocol.replace("http", "ws");
    if (this.#token) address.searchParams.set("token", this.#token);
    this.#socket = new WebSocket(address);
    return new Promise((resolve, reject) => {
      this.#socket.onclose = ({ code, reason }) => {
        const error = new PresenterError("closed", `The connection ended (${code}${reason && `: ${reason}`}).`);
        reject(error);
        this.#utterance?.cancel();
        for (const { reject } of this.#interrupts.values()) reject(error);
        this.#emit("close", { code, reason });
      };
      this.#socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "ready") resolve(this.#credit.grant(message.credit_ms));
        else this.#receive(message);
      };
    });
  }

  #receive(message) {
    if (message.type === "credit") this.#credit.grant(message.received_ms + message.free_ms);
    if (message.type === "interrupted") {
      const { request_id: requestId, utterance_id: id } = message;
      // The answer to a request of ours: `interrupt` has stopped the writing already, and may have been followed by `speak`.
      if (requestId !== undefined) this.#interrupts.get(requestId)?.resolve(message);
      else if (id !== null && id === this.#utterance?.id) this.#utterance.cancel();
    }
    this.#emit(message.type, message);
  }

  #emit(type, message) {
    const listeners = this.#listeners.get(type) ?? [];
    for (const listener of listeners) listener(message);
    if (type === "error" && !listeners.size) console.error(`Presenter: ${message.message}`);
  }

  /**
   * Subscribe to one type of event.
   *
   * @template {keyof PresenterEvents} Type
   * @param {Type} type
   * @param {(event: PresenterEvents[Type]) => void} listener
   * @returns {() => void} ends the subscription
   */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /**
   * Begin an utterance; it is spoken after the earlier ones, and ends the one before.
   *
   * @param {{sampleRate: number, channels?: 1 | 2, id?: string}} options of 16-bit PCM; `id` comes back in events
   */
  speak({ sampleRate, channels = 1, id = `speech-${crypto.randomUUID().slice(0, 8)}` }) {
    const send = (data) => this.#send(data);
    this.#utterance?.end();
    this.#utterance = new Utterance(id, sampleRate * channels * 2, this.#credit, send);
    send({ type: "start", sample_rate: sampleRate, channels, format: "pcm_s16le", utterance_id: id });
    return this.#utterance;
  }

  #send(data) {
    if (this.#socket.readyState !== WebSocket.OPEN) throw new PresenterError("closed", "The connection is closed.");
    this.#socket.send(ArrayBuffer.isView(data) ? data : JSON.stringify(data));
  }

  /**
   * Stop the presenter now and drop what it has not played. Several may be in flight; each gets its own answer.
   *
   * @param {{id?: string, timeoutMs?: number}} options `id` of an utterance: if it is playing, it and all behind it is
   *   dropped; if it waits, it alone is
   * @returns {Promise<{utterance_id: string | null, played_ms: number}>} the utterance that was playing, or that was named,
   *   and how much of it was heard; `utterance_id` is null if nothing was playing or waiting
   * @throws {PresenterError} with code "closed", or "timeout" if the server does not answer in time
   */
  async interrupt({ id, timeoutMs = 10_000 } = {}) {
    const requestId = crypto.randomUUID();
    let timer;
    const answer = new Promise((resolve, reject) => {
      this.#interrupts.set(requestId, { resolve, reject });
      const late = () => reject(new PresenterError("timeout", `The server did not answer within ${timeoutMs} ms.`));
      timer = setTimeout(late, timeoutMs);
    });
    try {
      this.#send({ type: "interrupt", request_id: requestId, utterance_id: id });
      if (id === undefined || id === this.#utterance?.id) this.#utterance?.cancel();
      return await answer;
    } finally {
      clearTimeout(timer);
      this.#interrupts.delete(requestId);
    }
  }

  /** End the session, for viewers as well. */
  async close() {
    this.#socket.close();
    const address = new URL(`/api/sessions/${this.id}`, this.#url);
    await fetch(address, { method: "DELETE", headers: authorization(this.#token) });
  }
}

const authorization = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
