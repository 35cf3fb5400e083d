// The bot's client against a server that is only messages.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Presenter, PresenterError } from "../../web/client.js";

class FakeSocket {
  static OPEN = 1;
  readyState = FakeSocket.OPEN;
  sent = [];

  constructor(address) {
    this.address = String(address);
    FakeSocket.last = this;
  }

  send(data) {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : data);
  }

  close() {
    this.lose(1000, "");
  }

  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  lose(code, reason) {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  get bytes() {
    return this.sent.filter(ArrayBuffer.isView).reduce((sum, { byteLength }) => sum + byteLength, 0);
  }
}

const turn = () => new Promise((resolve) => setTimeout(resolve));
const requests = [];
const original = {};

beforeEach(() => {
  Object.assign(original, { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch });
  requests.length = 0;
  FakeSocket.last = null;
  globalThis.WebSocket = FakeSocket;
  globalThis.fetch = async (url, options) => {
    requests.push({ url: String(url), ...options });
    return { ok: true, json: async () => ({ id: "a-b" }) };
  };
});

afterEach(() => Object.assign(globalThis, original));

async function connected(creditMs = 1000, options = {}) {
  const connecting = Presenter.connect({ url: "http://host:8080", presenter: "Ada", ...options });
  while (!FakeSocket.last?.onmessage) await turn();
  const socket = FakeSocket.last;
  socket.say({ type: "ready", session: "a-b", credit_ms: creditMs });
  return { presenter: await connecting, socket };
}

test("opens a session without a microphone and its socket, with the token where each takes it", async () => {
  const { presenter, socket } = await connected(1000, { token: "s&cret" });
  assert.equal(requests[0].url, "http://host:8080/api/sessions");
  assert.deepEqual(JSON.parse(requests[0].body), { presenter: "Ada", microphone: "off" });
  assert.equal(requests[0].headers.Authorization, "Bearer s&cret");
  assert.equal(socket.address, "ws://host:8080/api/sessions/a-b/audio?dialect=native&token=s%26cret");
  assert.equal(presenter.viewerUrl, "http://host:8080/embed?session=a-b");
});

test("a refusal carries the server's code and sentence", async () => {
  globalThis.fetch = async () => ({ ok: false, status: 503, json: async () => ({ error: { code: "capacity", message: "Full." } }) });
  await assert.rejects(Presenter.connect({ url: "http://host" }), { constructor: PresenterError, code: "capacity", message: "Full." });
});

test("a socket that closes before it is ready is a refusal", async () => {
  const connecting = Presenter.connect({ url: "http://host" });
  while (!FakeSocket.last?.onmessage) await turn();
  FakeSocket.last.lose(1008, "no");
  await assert.rejects(connecting, { code: "closed", message: /1008: no/ });
});

test("sends start, sound in slices, words, marks and the end, in order", async () => {
  const { presenter, socket } = await connected();
  const utterance = presenter.speak({ sampleRate: 16000, id: "u" });
  const pcm = Int16Array.from({ length: 4000 }, (_, k) => k);
  assert.equal(await utterance.write(pcm.subarray(100)), true);
  utterance.words([{ text: "hi", start_ms: 0, end_ms: 90 }]);
  utterance.mark("m");
  utterance.end();
  const sound = socket.sent.filter(ArrayBuffer.isView);
  const joined = Buffer.concat(sound.map((piece) => Buffer.from(piece)));
  assert.deepEqual(new Int16Array(joined.buffer.slice(joined.byteOffset, joined.byteOffset + joined.length)), pcm.slice(100));
  assert.ok(sound.every(({ byteLength }) => byteLength <= 3200));
  assert.deepEqual(socket.sent[0], { type: "start", sample_rate: 16000, channels: 1, format: "pcm_s16le", utterance_id: "u" });
  assert.deepEqual(socket.sent.slice(-3).map(({ type }) => type), ["words", "mark", "end"]);
});

test("takes an ArrayBuffer of odd length", async () => {
  const { presenter, socket } = await connected();
  await presenter.speak({ sampleRate: 8000 }).write(new ArrayBuffer(333));
  assert.equal(socket.bytes, 333);
});

test("waits while the server has no room, and goes on when it has", async () => {
  const { presenter, socket } = await connected(200);
  const writing = presenter.speak({ sampleRate: 16000 }).write(new Int16Array(16000));
  await turn();
  assert.equal(socket.bytes, 200 * 32);
  socket.say({ type: "credit", free_ms: 100, buffered_ms: 100, received_ms: 200 });
  await turn();
  assert.equal(socket.bytes, 300 * 32);
  socket.say({ type: "credit", free_ms: 10_000, buffered_ms: 0, received_ms: 300 });
  assert.equal(await writing, true);
  assert.equal(socket.bytes, 1000 * 32);
});

test("credit that crosses sound on its way is not spent twice", async () => {
  const { presenter, socket } = await connected(500);
  presenter.speak({ sampleRate: 16000 }).write(new Int16Array(32000));
  await turn();
  socket.say({ type: "credit", free_ms: 500, buffered_ms: 0, received_ms: 0 }); // sent before the first 500 ms arrived
  await turn();
  assert.equal(socket.bytes, 500 * 32);
});

test("an interrupt stops the writing and says what was heard", async () => {
  const { presenter, socket } = await connected(100);
  const utterance = presenter.speak({ sampleRate: 16000, id: "u" });
  const writing = utterance.write(new Int16Array(16000));
  await turn();
  const interrupting = presenter.interrupt();
  assert.equal(await writing, false);
  assert.equal(await utterance.write(new Int16Array(10)), false);
  utterance.end();
  const { request_id: requestId, ...request } = socket.sent.at(-1);
  assert.deepEqual(request, { type: "interrupt" });
  socket.say({ type: "interrupted", utterance_id: "u", played_ms: 60, request_id: requestId });
  assert.equal((await interrupting).played_ms, 60);
});

test("an answer goes to its own request, in whatever order answers and other interruptions come", async () => {
  const { presenter, socket } = await connected();
  const answers = [presenter.interrupt(), presenter.interrupt({ id: "b" })];
  const [first, second] = socket.sent.map(({ request_id: requestId }) => requestId);
  assert.deepEqual(socket.sent.map(({ utterance_id: id }) => id), [undefined, "b"]);
  socket.say({ type: "interrupted", utterance_id: "c", played_ms: 0 }); // waited behind
  socket.say({ type: "interrupted", utterance_id: "a", played_ms: 500 }); // by a listener's voice
  socket.say({ type: "interrupted", utterance_id: "b", played_ms: 0, request_id: second });
  socket.say({ type: "interrupted", utterance_id: "x", played_ms: 9, request_id: "another's" });
  socket.say({ type: "interrupted", utterance_id: "a", played_ms: 2740, request_id: first });
  assert.deepEqual((await Promise.all(answers)).map((answer) => [answer.utterance_id, answer.played_ms]), [["a", 2740], ["b", 0]]);
});

test("an interrupt that is not answered in time is rejected, and its late answer is nobody else's", async () => {
  const { presenter, socket } = await connected();
  await assert.rejects(presenter.interrupt({ timeoutMs: 5 }), { constructor: PresenterError, code: "timeout" });
  const late = socket.sent.at(-1).request_id;
  const interrupting = presenter.interrupt();
  socket.say({ type: "interrupted", utterance_id: "a", played_ms: 1, request_id: late });
  socket.say({ type: "interrupted", utterance_id: "b", played_ms: 2, request_id: socket.sent.at(-1).request_id });
  assert.equal((await interrupting).utterance_id, "b");
});

test("an interrupt by name leaves the writing of another utterance alone", async () => {
  const { presenter, socket } = await connected();
  const utterance = presenter.speak({ sampleRate: 16000, id: "second" });
  const interrupting = presenter.interrupt({ id: "third" });
  socket.say({ type: "interrupted", utterance_id: "third", played_ms: 0, request_id: socket.sent.at(-1).request_id });
  await interrupting;
  assert.equal(await utterance.write(new Int16Array(10)), true);
});

test("an interrupt by a listener stops what is being written", async () => {
  const { presenter, socket } = await connected();
  const utterance = presenter.speak({ sampleRate: 16000, id: "second" });
  socket.say({ type: "interrupted", utterance_id: "second", played_ms: 0 }); // it waited behind the first
  socket.say({ type: "interrupted", utterance_id: "first", played_ms: 10 });
  assert.equal(await utterance.write(new Int16Array(10)), false);
});

test("one's own interrupt leaves alone what is said after it", async () => {
  const { presenter, socket } = await connected();
  presenter.speak({ sampleRate: 16000, id: "first" });
  const interrupting = presenter.interrupt();
  const second = presenter.speak({ sampleRate: 16000, id: "second" });
  const { request_id: requestId } = socket.sent.find(({ type }) => type === "interrupt");
  socket.say({ type: "interrupted", utterance_id: "first", played_ms: 10, request_id: requestId });
  await interrupting;
  assert.equal(await second.write(new Int16Array(10)), true);
});

test("a new utterance ends the one before", async () => {
  const { presenter, socket } = await connected();
  const first = presenter.speak({ sampleRate: 16000 });
  const second = presenter.speak({ sampleRate: 16000 });
  assert.notEqual(first.id, second.id);
  assert.deepEqual(socket.sent.map(({ type }) => type), ["start", "end", "start"]);
  assert.equal(await first.write(new Int16Array(10)), false);
});

test("listeners get their events until they unsubscribe", async () => {
  const { presenter, socket } = await connected();
  const received = [];
  const stop = presenter.on("playback", ({ played_ms: ms }) => received.push(ms));
  socket.say({ type: "playback", utterance_id: "u", played_ms: 40 });
  stop();
  socket.say({ type: "playback", utterance_id: "u", played_ms: 80 });
  assert.deepEqual(received, [40]);
});

test("a lost connection ends everything that waits", async () => {
  const { presenter, socket } = await connected(100);
  const closed = [];
  presenter.on("close", (event) => closed.push(event));
  const writing = presenter.speak({ sampleRate: 16000 }).write(new Int16Array(16000));
  const interrupting = presenter.interrupt();
  socket.lose(1006, "");
  assert.equal(await writing, false);
  await assert.rejects(interrupting, { code: "closed" });
  assert.deepEqual(closed, [{ code: 1006, reason: "" }]);
  assert.throws(() => presenter.speak({ sampleRate: 16000 }), { code: "closed" });
});

test("close ends the session on the server", async () => {
  const { presenter } = await connected(100, { token: "t" });
  await presenter.close();
  assert.equal(requests.at(-1).method, "DELETE");
  assert.equal(requests.at(-1).url, "http://host:8080/api/sessions/a-b");
});
