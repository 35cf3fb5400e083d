// The page's logic: the effect of each control in each state.

import { adoptToken, listPresenters, saveToken } from "./api.js";
import { showCaptions } from "./captions.js";
import { prepareEnroll } from "./enroll.js";
import { Gallery } from "./gallery.js";
import { insecure, openMicrophone } from "./microphone.js";
import { showFigures } from "./monitor.js";
import { PictureChoice } from "./picture_choice.js";
import { prepareRender } from "./render.js";
import { SayBox } from "./say.js";
import { Session } from "./session.js";
import { play } from "./sound.js";
import { Figures } from "./stats.js";
import { remembered } from "./storage.js";
import { StyleChoice } from "./style_choice.js";
import * as ui from "./ui.js";

const { toggle, mic, hear, video, unmute, microphone, add, caption, captions, tokenForm, tokenInput } = ui.elements;

let presenters = [];
let damaged = []; // presenters whose files cannot be read
let chosen = null;
let call = null; // {session, spoken, live, microphone: MediaStream, figures} while connecting or live
let ending = null; // a promise while the previous call releases its session

// ---- presenters ----

async function loadPresenters(preferred = chosen?.name || remembered.get("name") || "default") {
  try {
    ({ presenters, damaged = [] } = await listPresenters());
  } catch (error) {
    return report(error);
  }
  gallery.update(presenters, damaged);
  toggle.disabled = presenters.length === 0;
  if (!presenters.length) return ui.showNotice("No presenter yet", "Add one from a photo to begin.", { soft: true });
  choose(presenters.find(({ name }) => name === preferred) ?? presenters[0]);
  await styleChoice.load();
  return sayBox.load();
}

function choose(presenter) {
  const before = chosen;
  show(presenter);
  if (!call || !before || before.name === presenter.name) return;
  const current = call;
  if (!current.live) return stop().then(() => start(current.spoken));
  current.session.change({ presenter: presenter.name }).catch((error) => {
    if (call !== current) return;
    if (chosen === presenter) show(before); // the one who goes on
    report(error, false);
  });
  return undefined;
}

function show(presenter) {
  chosen = presenter;
  remembered.set("name", presenter.name);
  ui.showPresenters(presenters, presenter.name, choose);
  ui.showPoster(presenter);
}

// ---- microphone ----

async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  ui.showMicrophones(devices.filter(({ kind }) => kind === "audioinput"), remembered.get("microphone"));
}

async function changeMicrophone() {
  remembered.set("microphone", microphone.value);
  if (!call?.microphone) return;
  const current = call;
  try {
    const next = await openMicrophone(microphone.value);
    if (call !== current) return closeStream(next);
    await current.session.replaceMicrophone(next);
    closeStream(current.microphone);
    current.microphone = next;
    applyMicrophoneMute();
  } catch (error) {
    report(error, false);
  }
  return undefined;
}

function closeStream(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

const microphoneMuted = () => mic.getAttribute("aria-pressed") === "true";

function applyMicrophoneMute() {
  const muted = microphoneMuted();
  for (const track of call?.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
}

function setMicrophoneMuted(muted) {
  ui.setMuted(mic, muted, muted ? "Unmute microphone" : "Mute microphone");
  applyMicrophoneMute();
}

// ---- the presenter's voice ----

function setVoiceMuted(muted) {
  video.muted = muted;
  remembered.set("voice", muted ? "off" : "on");
  ui.setMuted(hear, muted, muted ? "Hear the presenter’s voice" : "Mute the presenter’s voice");
  unmute.hidden = true;
}

// ---- captions ----

function setCaptions(shown) {
  document.body.dataset.captions = shown ? "on" : "off";
  remembered.set("captions", shown ? "on" : "off");
  captions.setAttribute("aria-pressed", String(shown));
}

// ---- one conversation ----

/** Start a call: `spoken` with the user's microphone, otherwise without one, for typed text. */
function start(spoken) {
  if (call) return; // pressed while another presenter's session was starting
  ui.hideNotice();
  let session;
  try {
    session = new Session();
  } catch (error) {
    return report(error);
  }
  ui.setState("connecting");
  call = { session, spoken, microphone: null, figures: new Figures(session.peer, session.clock) };
  listen(call);
  call.ready = connect(call);
  return undefined;
}

async function connect(current) {
  try {
    if (current.spoken) await takeMicrophone(current);
    await ending;
    if (call !== current) return;
    await current.session.start(chosen.name, current.microphone, { ...styleChoice.speaking, ...pictureChoice.shown });
    if (call !== current) return;
    current.live = true;
    showQuiet(current);
    showFigures(current, { muted: microphoneMuted });
  } catch (error) {
    if (call !== current) return;
    await stop();
    report(error);
  }
}

async function takeMicrophone(current) {
  const stream = await openMicrophone(remembered.get("microphone"));
  if (call !== current) return closeStream(stream);
  current.microphone = stream;
  setMicrophoneMuted(false);
  listMicrophones();
  return undefined;
}

// Returns whether the presenter will speak it.
async function say(text) {
  start(false);
  const current = call;
  if (!current) return false;
  await current.ready;
  if (call !== current) return false;
  await current.session.say(text);
  return true;
}

function interrupt() {
  call?.session.interrupt();
}

// Live, and nobody speaks.
function showQuiet({ spoken }) {
  ui.setState("listening", spoken);
  if (!spoken) ui.setStatusText("Ready");
  else if (microphoneMuted()) ui.setStatusText("Microphone off");
}

async function stop() {
  const current = call;
  call = null;
  ui.setState("idle");
  ui.setPlaying(false);
  sayBox.speaking = false;
  unmute.hidden = true;
  closeStream(current?.microphone);
  video.srcObject = null;
  ending = Promise.all([ending, current?.session.close()]);
  await ending;
}

function listen(current) {
  const { session, figures } = current;
  showCaptions(session, caption);
  session.addEventListener("media", ({ detail }) => play(video, detail, unmute));
  session.addEventListener("unstable", () => ui.setStatusText("Connection unstable"));
  session.addEventListener("stable", () => call === current && showQuiet(current));
  session.addEventListener("state", ({ detail }) => (sayBox.speaking = call === current && detail.state === "speaking"));
  session.addEventListener("caption", () => (captions.hidden = false));
  session.addEventListener("stats", ({ detail }) => {
    figures.server = detail;
    if (call !== current || !video.videoWidth) return;
    if (detail.speaking) ui.setState("speaking", current.spoken);
    else showQuiet(current);
  });
  session.addEventListener("lost", async ({ detail }) => {
    if (call !== current) return;
    await stop();
    report(detail);
  });
}

// ---- messages ----

const TITLES = {
  unauthorized: "Access token needed",
  capacity: "All sessions are in use",
  network: "Server not reachable",
  presenter_not_found: "Presenter not found",
  no_voice: "No voice for typed text",
};

function report(error, fatal = true) {
  if (fatal) ui.setState("error");
  const title = error.title ?? TITLES[error.code] ?? "Something went wrong";
  ui.showNotice(title, error.message, { askToken: error.code === "unauthorized" });
}

// ---- wiring ----

const gallery = new Gallery(async (name, now) => {
  await loadPresenters(now && name === chosen?.name ? now : undefined);
  if (now === name && name === chosen?.name && call?.live) change({ presenter: name }); // what it has learnt is seen at once
});
const change = (changes) => call?.session.change(changes).catch((error) => report(error, false));
const styleChoice = new StyleChoice(change);
const pictureChoice = new PictureChoice(change);
const sayBox = new SayBox({ say, interrupt, report: (error) => report(error, false) });
toggle.addEventListener("click", () => (call ? stop() : start(true)));
mic.addEventListener("click", () => setMicrophoneMuted(!microphoneMuted()));
hear.addEventListener("click", () => setVoiceMuted(!video.muted));
unmute.addEventListener("click", () => setVoiceMuted(false));
captions.addEventListener("click", () => setCaptions(document.body.dataset.captions === "off"));
microphone.addEventListener("change", changeMicrophone);
video.addEventListener("playing", () => call && ui.setPlaying(true));
add.addEventListener("click", prepareEnroll(async ({ name, warnings }) => {
  await loadPresenters(name);
  if (warnings.length) ui.showNotice(`${name} is ready, but look at it closely`, `${warnings.join(". ")}.`, { soft: true });
}));
prepareRender(
  () => chosen?.name ?? "default",
  () => presenters.filter(({ own }) => own).map(({ name }) => name),
);
tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  saveToken(tokenInput.value);
  ui.hideNotice();
  ui.setState("idle");
  loadPresenters();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest("dialog")) interrupt();
  if (event.target.closest("input, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "m" && !mic.disabled) mic.click();
  if (event.key === "h") hear.click();
});
navigator.mediaDevices?.addEventListener?.("devicechange", listMicrophones);
window.addEventListener("pagehide", () => call && stop());

adoptToken();
setVoiceMuted(remembered.get("voice") === "off");
setCaptions(remembered.get("captions") !== "off");
if (insecure()) report(insecure());
listMicrophones();
loadPresenters();
