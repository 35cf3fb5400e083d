// The embedded presenter: shows one session and reconnects after a loss.
//
// /embed?session=ID[&transparent=1][&captions=1][&badge=0][#token=TOKEN]
//
// The token, where viewers need one, follows "#", so that it is in no log of a server or proxy.

import { showCaptions } from "./captions.js";
import { Compositor } from "./compositor.js";
import { play } from "./sound.js";
import { Viewer, WhepError } from "./whep.js";

const RETRY_MS = { first: 500, last: 8000 };

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const wants = (name) => asked.get(name) === "1";
const video = $("video");

let viewer = null;

// Resolves when the connection is lost or fails, to whether it was established; rejects when a retry can't help.
async function watch(endpoint) {
  viewer = new Viewer();
  const lost = new Promise((resolve) => viewer.addEventListener("lost", resolve));
  viewer.addEventListener("media", ({ detail }) => play(video, detail, $("unmute")));
  if (wants("captions")) showCaptions(viewer, $("caption"));
  try {
    await viewer.watch(endpoint, token);
    await lost;
    return true;
  } catch (error) {
    if (error instanceof WhepError && !error.passes) throw error;
    return false;
  } finally {
    viewer.close();
  }
}

async function keepWatching(endpoint) {
  let waitMs = RETRY_MS.first;
  for (;;) {
    waitMs = (await watch(endpoint)) ? RETRY_MS.first : Math.min(waitMs * 2, RETRY_MS.last);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

function composite() {
  new Compositor(video, $("canvas"));
  document.body.classList.add("transparent");
  $("canvas").hidden = false;
}

async function main() {
  $("badge").hidden = asked.get("badge") === "0";
  $("unmute").addEventListener("click", () => {
    video.muted = false;
    $("unmute").hidden = true;
  });
  window.addEventListener("pagehide", () => viewer?.close());
  window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // back from the history
  if (wants("transparent")) composite();
  const query = wants("transparent") ? "?matte=1" : "";
  await keepWatching(`/whep/${encodeURIComponent(asked.get("session") ?? "")}${query}`);
}

main().catch((error) => {
  for (const id of ["video", "canvas", "badge", "unmute"]) $(id).hidden = true;
  $("message").textContent = error.message;
});
