// All access to the document. No network and no media logic.

import { pictureUrl } from "./api.js";

const $ = (id) => document.getElementById(id);

const STATUS = {
  idle: "Ready",
  connecting: "Connecting",
  listening: "Listening",
  speaking: "Speaking",
  error: "Not connected",
};
const BUTTON = { idle: "Start talking", connecting: "Cancel", listening: "Stop", speaking: "Stop", error: "Start talking" };

export const elements = {
  toggle: $("toggle"), mic: $("mic"), hear: $("hear"), video: $("video"), unmute: $("unmute"), microphone: $("microphone"),
  add: $("add"), caption: $("caption"), captions: $("captions"), tokenForm: $("token-form"), tokenInput: $("token-input"),
};

$("notice-close").addEventListener("click", () => hideNotice());

/** One of idle, connecting, listening, speaking, error; `spoken` while live: with a microphone. */
export function setState(state, spoken = false) {
  document.body.dataset.state = state;
  $("status-text").textContent = STATUS[state];
  const live = state === "listening" || state === "speaking";
  $("toggle-text").textContent = live && !spoken ? "End" : BUTTON[state];
  elements.mic.disabled = !live || !spoken;
  $("figures").hidden = !live;
  $("hints").hidden = live;
  if (!live) setLevels(0, 0);
}

export function setStatusText(text) {
  $("status-text").textContent = text;
}

export function setPlaying(playing) {
  $("stage").classList.toggle("playing", playing);
}

/** Show a message over the stage; `soft` if it needs no action. */
export function showNotice(title, text, { soft = false, askToken = false } = {}) {
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  $("notice").classList.toggle("soft", soft);
  elements.tokenForm.hidden = !askToken;
  $("notice").hidden = false;
  if (askToken) elements.tokenInput.focus();
}

export function hideNotice() {
  $("notice").hidden = true;
}

/** A two-state round button: pressed means muted. */
export function setMuted(button, muted, label) {
  button.setAttribute("aria-pressed", String(muted));
  button.setAttribute("aria-label", label);
}

/** Levels 0..1 of the microphone and of the presenter's voice. */
export function setLevels(microphone, voice) {
  elements.mic.style.setProperty("--mic", Math.min(1, microphone * 3).toFixed(2));
  $("stage").style.setProperty("--level", Math.min(1, voice * 2.5).toFixed(2));
}

const signed = (value) => (value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0");

function setFigure(id, text, poor) {
  $(id).textContent = text;
  $(id).classList.toggle("poor", poor);
}

/** Numbers or null; marked where they are bad enough to be noticed. */
export function showFigures({ latencyMs, skewMs, fps, roundTripMs }) {
  setFigure("f-latency", latencyMs === null ? "–" : `${Math.round(latencyMs)} ms`, latencyMs > 500);
  setFigure("f-skew", skewMs === null ? "–" : `${signed(Math.round(skewMs))} ms`, skewMs !== null && (skewMs < -20 || skewMs > 100));
  setFigure("f-fps", fps === null ? "–" : `${Math.round(fps)} fps`, fps !== null && fps < 23);
  setFigure("f-rtt", roundTripMs === null ? "–" : `${roundTripMs < 10 ? roundTripMs.toFixed(1) : Math.round(roundTripMs)} ms`, roundTripMs > 150);
}

/** Show how well the server keeps up, "good" or "reduced". */
export function showQuality(quality) {
  setFigure("f-quality", quality ?? "–", quality === "reduced");
}

/** Fill the list of microphones; names are known only after permission was given. */
export function showMicrophones(devices, selected) {
  const options = devices
    .filter(({ deviceId }) => deviceId && deviceId !== "default" && deviceId !== "communications")
    .map(({ deviceId, label }, index) => new Option(label || `Microphone ${index + 1}`, deviceId));
  elements.microphone.replaceChildren(new Option("System default", ""), ...options);
  elements.microphone.value = selected;
  if (elements.microphone.selectedIndex < 0) elements.microphone.value = "";
}

const pictures = new Map();

/** Fetch a presenter's picture once; null when there is none. */
function picture({ name, thumbnail }) {
  if (!pictures.has(name)) pictures.set(name, pictureUrl(thumbnail).catch(() => null));
  return pictures.get(name);
}

function face(presenter, selected, onChoose) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "face";
  button.title = presenter.name;
  button.setAttribute("role", "radio");
  button.setAttribute("aria-label", presenter.name);
  button.setAttribute("aria-checked", String(presenter.name === selected));
  button.tabIndex = presenter.name === selected ? 0 : -1;
  button.textContent = presenter.name.slice(0, 1);
  button.addEventListener("click", () => onChoose(presenter));
  picture(presenter).then((url) => {
    if (url) button.replaceChildren(Object.assign(new Image(), { src: url, alt: "" }));
  });
  return button;
}

/** Show the presenters; arrow keys move between them as in any radio group. */
export function showPresenters(presenters, selected, onChoose) {
  for (const name of pictures.keys()) {
    if (!presenters.some((presenter) => presenter.name === name)) pictures.delete(name); // the name may later refer to another one
  }
  const row = $("presenters");
  row.replaceChildren(...presenters.map((presenter) => face(presenter, selected, onChoose)));
  row.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = presenters.findIndex(({ name }) => name === selected);
    onChoose(presenters[(index + step + presenters.length) % presenters.length]);
    row.querySelector('[aria-checked="true"]')?.focus();
  };
}

// The picture's colours as a blurred spot behind the page.
function drawAmbient(image) {
  const canvas = $("ambient");
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.filter = "blur(7px) saturate(1.4)";
  context.drawImage(image, width * 0.22, height * 0.2, width * 0.56, height * 0.6);
  context.filter = "none";
  canvas.classList.add("ready");
}

let onStage = null;

/** Show a presenter's picture on the stage with its label, and its colours behind the page. */
export async function showPoster(presenter) {
  onStage = presenter;
  const poster = $("poster");
  const synthetic = presenter.own === false; // those that ship; all others are made from photos of people
  $("badge").textContent = synthetic ? "Synthetic presenter" : "AI-generated video";
  poster.alt = synthetic ? "Synthetic presenter" : `Presenter ${presenter.name}`;
  const url = await picture(presenter);
  if (onStage !== presenter) return; // another one was chosen meanwhile
  poster.classList.toggle("ready", Boolean(url));
  if (!url) return;
  poster.src = url;
  $("stage").style.setProperty("--poster", `url("${url}")`);
  await poster.decode().then(() => drawAmbient(poster), () => {}); // the same, while it was decoded
}
