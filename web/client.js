// A client for voice bots in Node 22 or later, Deno, or a page of the server itself: your bot's speech in, a presenter's
// face out. Pages from elsewhere may watch, not speak.
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

/** A refusal by the server; `code` is stable, the message is for people. */
export class PresenterError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * What the server reports, by `type`; times are milliseconds of speech from the start of the utterance.
 *
 * @typedef {object} PresenterEvents
 * @property {{state: "idle" | "listening" | "speaking"}} state
 * @property {{utterance_id: string}} speak_started
 * @property {{name: string, played_ms: number}} mark
 * @property {{utterance_id: string, played_ms: number}} playback
 * @property {{utterance_id: string, played_ms: number}} speak_ended
 * @property {{utterance_id: string, played_ms: number}} interrupted
 * @property {{free_ms: number, buffered_ms: number, received_ms: number}} credit
 * @property {object} stats
 * @property {{code: string, message: string, expected?: string}} error
 * @property {{code: number, reason: string}} close
 */

/** One session with a presenter, over its speech socket. */
export class Presenter {
  /** Of the session; it is also all that a viewer needs. */
  id;
  /** The page to watch the presenter at, or to put into an `<iframe allow="autoplay">`. */
  viewerUrl;
  #url;
  #token;
  #socket;
  #listeners = new Map();
  #credit = new Credit();
  #utterance = null;
  #interrupts = []; // those who wait for the server's `interrupted`

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
        for (const interrupt of this.#interrupts.splice(0)) interrupt.reject(error);
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
      // Ours cut what was being written when it was sent; what came after is not meant. A listener's cuts what is written now.
      if (!this.#interrupts.length) this.#utterance?.cancel();
      for (const { resolve } of this.#interrupts.splice(0)) resolve(message);
    }
    this.#emit(message.type, message);
  }

  #emit(type, message) {
    const listeners = this.#listeners.get(type) ?? [];
    for (const listener of listeners) listener(message);
    if (type === "error" && !listeners.size) console.error(`Presenter: ${message.message}`);
  }

  /**
   * Listen to one kind of event.
   *
   * @template {keyof PresenterEvents} Type
   * @param {Type} type
   * @param {(event: PresenterEvents[Type]) => void} listener
   * @returns {() => void} stops listening
   */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /**
   * Begin an utterance; it is spoken after those before it, and ends the writing of the one before.
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
   * Silence the presenter now and drop what it has not said.
   *
   * @returns {Promise<{utterance_id: string, played_ms: number}>} what was cut off, and how much of it was heard
   */
  interrupt() {
    return new Promise((resolve, reject) => {
      this.#send({ type: "interrupt" });
      this.#interrupts.push({ resolve, reject });
      this.#utterance?.cancel();
    });
  }

  /** End the session; viewers see it end. */
  async close() {
    this.#socket.close();
    const address = new URL(`/api/sessions/${this.id}`, this.#url);
    await fetch(address, { method: "DELETE", headers: authorization(this.#token) });
  }
}

const authorization = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
