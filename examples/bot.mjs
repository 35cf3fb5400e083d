// A voice bot in Node 22 or later (Node 20 with --experimental-websocket): a presenter speaks a WAV file.
//
//   node examples/bot.mjs speech.wav [http://localhost:8080 [TOKEN]]
//
// Open the address that it prints. A real bot sends its TTS audio instead of a file.

import { readFile } from "node:fs/promises";

import { Presenter } from "../web/client.js";

/** Rate, channels and samples of a WAV of 16-bit PCM. */
function parseWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = {};
  for (let at = 12; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true)) {
    const name = bytes.toString("latin1", at, at + 4);
    if (name === "fmt ") Object.assign(format, { channels: view.getUint16(at + 10, true), sampleRate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true) });
    if (name === "data" && format.bits === 16) return { ...format, pcm: bytes.subarray(at + 8, at + 8 + view.getUint32(at + 4, true)) };
  }
  throw new Error("expected a WAV of 16-bit PCM");
}

const [path, url = "http://localhost:8080", token = ""] = process.argv.slice(2);
const { pcm, sampleRate, channels } = parseWav(await readFile(path));

const presenter = await Presenter.connect({ url, token });
presenter.on("playback", ({ played_ms: ms }) => process.stdout.write(`\r${(ms / 1000).toFixed(1)} s said `));
const ended = new Promise((resolve) => presenter.on("speak_ended", resolve));
console.log(`Watch it at ${presenter.viewerUrl} - speaking in 5 seconds.`);
await new Promise((resolve) => setTimeout(resolve, 5000));

const utterance = presenter.speak({ sampleRate, channels });
await utterance.write(pcm);
utterance.end();
const { played_ms: ms } = await ended;
console.log(`\rDone: ${(ms / 1000).toFixed(1)} s.`);
await presenter.close();
