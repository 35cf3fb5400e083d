import assert from "node:assert/strict";
import { test } from "node:test";

import { InterruptMute, Playout } from "../../web/playout.js";

const NTP_TO_UNIX_MS = 2208988800000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const receiver = (entry) => ({ getStats: async () => new Map([["a", { type: "codec" }], ["b", { type: "inbound-rtp", ...entry }]]) });

test("the position is on the unix clock and moves on from when it was measured", async () => {
  const measured = performance.timeOrigin + performance.now() - 30;
  for (const epoch of [0, NTP_TO_UNIX_MS]) {
    const playout = new Playout(receiver({ timestamp: measured, estimatedPlayoutTimestamp: 1.7e12 + epoch }));
    assert.equal(playout.nowMs, null);
    const ahead = (await playout.read()) - 1.7e12;
    assert.ok(ahead >= 30 && ahead < 130, String(ahead));
  }
});

test("no position where the browser gives none", async () => {
  assert.equal(await new Playout(receiver({ timestamp: 0 })).read(), null);
});

/** Audio whose position advances with time from `startMs`, and never does where that is null. */
function interruptMute(startMs) {
  const begun = performance.now();
  const track = { enabled: true };
  const read = async () => (startMs === null ? null : startMs + performance.now() - begun);
  return { track, mute: new InterruptMute(track, { read }) };
}

test("silent at once, and until the moment has passed", async () => {
  const { track, mute } = interruptMute(1000);
  mute.until(1150);
  assert.equal(track.enabled, false);
  await pause(80);
  assert.equal(track.enabled, false);
  await pause(200);
  assert.equal(track.enabled, true);
});

test("a later moment prolongs the silence, an earlier one does not shorten it", async () => {
  const { track, mute } = interruptMute(1000);
  mute.until(1100);
  mute.until(1400);
  mute.until(1050);
  await pause(250);
  assert.equal(track.enabled, false);
  await pause(400);
  assert.equal(track.enabled, true);
});

test("without a position the silence is bounded", async () => {
  const { track, mute } = interruptMute(null);
  mute.until(1e15);
  await pause(250);
  assert.equal(track.enabled, false);
  await pause(400);
  assert.equal(track.enabled, true);
});
