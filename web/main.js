// The page's logic: what a press of a button means in each state.

import { adoptToken, listPresenters, saveToken } from "./api.js";
import { prepareEnroll } from "./enroll.js";
import { insecure, openMicrophone, Session } from "./session.js";
import { Figures, Median } from "./stats.js";
import * as ui from "./ui.js";

const READ_INTERVAL_MS = 250;
const SILENT_AFTER_MS = 8000;
const { toggle, mic, hear, video, unmute, microphone, add, tokenForm, tokenInput } = ui.elements;

const remembered = {
  get: (key) => localStorage.getItem(`presenter.${key}`) ?? "",
  set: (key, value) => localStorage.setItem(`presenter.${key}`, value),
};

let presenters = [];
let chosen = null;
let call = null; // {session, microphone: MediaStream, figures, timer} while connecting or live
let ending = null; // a promise while the call before gives its seat back

// ---- presenters ----

async function loadPresenters(preferred = chosen?.name || remembered.get("name") || "default") {
  try {
    presenters = await listPresenters();
  } catch (error) {
    return report(error);
  }
  toggle.disabled = presenters.length === 0;
  if (!presenters.length) return ui.showNotice("No presenter yet", "Add one from a photo to begin.", { soft: true });
  choose(presenters.find(({ name }) => name === preferred) ?? presenters[0]);
  return undefined;
}

function choose(presenter) {
  const changed = chosen && chosen.name !== presenter.name;
  chosen = presenter;
  remembered.set("name", presenter.name);
  ui.showPresenters(presenters, presenter.name, choose);
  ui.showPoster(presenter);
  if (changed && call) stop().then(start); // a session has one face for life
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

async function play(stream) {
  if (video.srcObject !== stream) video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // a newer play() took over
    video.muted = true; // muted playback needs no gesture; the button asks for one
    unmute.hidden = false;
    await video.play().catch(() => {});
  }
}

// ---- one conversation ----

async function start() {
  if (call) return undefined; // pressed while another face's session was about to start
  ui.hideNotice();
  ui.setState("connecting");
  const session = new Session();
  const current = { session, microphone: null, figures: new Figures(session.peer, session.clock), timer: 0 };
  call = current;
  listen(current);
  try {
    const stream = await openMicrophone(remembered.get("microphone"));
    if (call !== current) return closeStream(stream);
    current.microphone = stream;
    setMicrophoneMuted(false);
    listMicrophones();
    await ending;
    if (call !== current) return undefined;
    await session.start(stream, chosen.name);
    if (call !== current) return undefined;
    ui.setState("listening");
    follow(current);
  } catch (error) {
    if (call === current) {
      await stop();
      report(error);
    }
  }
  return undefined;
}

async function stop() {
  const current = call;
  call = null;
  ui.setState("idle");
  ui.setPlaying(false);
  unmute.hidden = true;
  clearTimeout(current?.timer);
  closeStream(current?.microphone);
  video.srcObject = null;
  ending = Promise.all([ending, current?.session.close()]);
  await ending;
}

function listen(current) {
  const { session, figures } = current;
  session.addEventListener("media", ({ detail }) => play(detail));
  session.addEventListener("unstable", () => ui.setStatusText("Connection unstable"));
  session.addEventListener("stable", () => call === current && ui.setState("listening"));
  session.addEventListener("stats", ({ detail }) => {
    figures.server = detail;
    if (call !== current || !video.videoWidth) return;
    ui.setState(detail.speaking ? "speaking" : "listening");
    if (microphoneMuted()) ui.setStatusText("Microphone off");
  });
  session.addEventListener("lost", async ({ detail }) => {
    if (call !== current) return;
    await stop();
    report(detail);
  });
}

// Reads and shows the figures until the call ends; warns once when the microphone stays silent.
function follow(current) {
  const medians = { latencyMs: new Median(9), skewMs: new Median(9), fps: new Median(3), roundTripMs: new Median(5) };
  let heardMs = performance.now();
  const tick = async () => {
    if (call !== current) return;
    const now = await current.figures.read();
    if (call !== current) return;
    const shown = Object.fromEntries(Object.entries(medians).map(([key, median]) => [key, median.push(now[key])]));
    ui.showFigures(shown);
    ui.setLevels(now.microphoneLevel ?? 0, now.voiceLevel ?? 0);
    if (now.microphoneLevel !== 0 || microphoneMuted()) heardMs = performance.now();
    if (performance.now() - heardMs > SILENT_AFTER_MS) {
      heardMs = Infinity;
      ui.showNotice("Nothing to hear", "The microphone gives no sound. Is it switched off, or is another one chosen?", { soft: true });
    }
    current.timer = setTimeout(tick, READ_INTERVAL_MS);
  };
  tick();
}

// ---- messages ----

const TITLES = {
  unauthorized: "Access token needed",
  capacity: "All seats are taken",
  network: "Server not reachable",
  presenter_not_found: "Presenter not found",
};

function report(error, fatal = true) {
  if (fatal) ui.setState("error");
  const title = error.title ?? TITLES[error.code] ?? "Something went wrong";
  ui.showNotice(title, error.message, { askToken: error.code === "unauthorized" });
}

// ---- wiring ----

toggle.addEventListener("click", () => (call ? stop() : start()));
mic.addEventListener("click", () => setMicrophoneMuted(!microphoneMuted()));
hear.addEventListener("click", () => setVoiceMuted(!video.muted));
unmute.addEventListener("click", () => setVoiceMuted(false));
microphone.addEventListener("change", changeMicrophone);
video.addEventListener("playing", () => call && ui.setPlaying(true));
add.addEventListener("click", prepareEnroll((name) => loadPresenters(name)));
tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  saveToken(tokenInput.value);
  ui.hideNotice();
  ui.setState("idle");
  loadPresenters();
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "m" && !mic.disabled) mic.click();
  if (event.key === "h") hear.click();
});
navigator.mediaDevices?.addEventListener?.("devicechange", listMicrophones);
window.addEventListener("pagehide", () => call && stop());

adoptToken();
setVoiceMuted(remembered.get("voice") === "off");
if (insecure()) report(insecure());
listMicrophones();
loadPresenters();
