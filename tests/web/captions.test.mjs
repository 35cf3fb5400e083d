import assert from "node:assert/strict";
import { test } from "node:test";

import { Captions } from "../../web/captions.js";

const TEXT = "Good morning and welcome to the show. My mother bought a big blue boat.";

/** The words of `TEXT`, 200 ms each, from 1000. */
function spoken() {
  const captions = new Captions();
  TEXT.split(" ").forEach((text, k) => captions.add({ text, start_ms: 1000 + 200 * k, end_ms: 1200 + 200 * k }));
  return captions;
}

test("words appear as they are said, in lines that end with a sentence", () => {
  const captions = spoken();
  assert.equal(captions.at(999), "");
  assert.equal(captions.at(1000), "Good");
  assert.equal(captions.at(1450), "Good morning and");
  assert.equal(captions.at(2399), "Good morning and welcome to the show.");
  assert.equal(captions.at(2400), "My");
});

test("a line stays for a moment and then goes", () => {
  const captions = spoken();
  const end = 1000 + 200 * TEXT.split(" ").length;
  assert.equal(captions.at(end + 1000), "My mother bought a big blue boat.");
  assert.equal(captions.at(end + 1300), "");
});

test("a long sentence is cut between words", () => {
  const captions = new Captions();
  for (let k = 0; k < 40; k += 1) captions.add({ text: `word${k}`, start_ms: 100 * k, end_ms: 100 * k + 100 });
  const seen = Array.from({ length: 40 }, (_, k) => captions.at(100 * k));
  assert.ok(seen.every((line) => line.length <= 64), seen.join("|"));
  const whole = seen.filter((line, k) => !seen[k + 1]?.startsWith(line));
  assert.ok(whole.length > 1);
  assert.equal(whole.join(" "), Array.from({ length: 40 }, (_, k) => `word${k}`).join(" "));
});

test("a pause begins a new line, and whole sentences are lines", () => {
  const captions = new Captions();
  captions.add({ text: "One.", start_ms: 0, end_ms: 400 });
  captions.add({ text: "Two.", start_ms: 1200, end_ms: 1600 });
  assert.deepEqual([captions.at(100), captions.at(1200)], ["One.", "Two."]);
});

test("what will not be said is not shown", () => {
  const captions = spoken();
  captions.clear();
  assert.equal(captions.at(1500), "");
});
