// The dialog that makes films: a recording or another person's face moves the presenter, or the person in a video.

import { listStyles, renderFilm } from "./api.js";

const $ = (id) => document.getElementById(id);
const dialog = $("render");
const form = $("render-form");
const FILES = ["audio", "video", "driving"];
const ALL_PARTS = "lips,brows,eyes,head";
const TICKS = ["consent", "face-consent", "driving_head", "loop"];
const VALUES = ["face", "style", "style_strength", "size", "framing", "background"];
const field = (name) => $(`render-${name}`);

let busy = false;
let stopping = new AbortController(); // of the film that is being made

/** Say what is wrong beside the field that it is about, or at the end of the form; an empty message takes all back. */
function fail(message, name = "") {
  for (const shown of form.querySelectorAll(".field-error")) shown.remove();
  for (const wrong of form.querySelectorAll("[aria-invalid]")) wrong.removeAttribute("aria-invalid");
  const input = name && field(name);
  const beside = Boolean(message && input);
  $("render-error").textContent = beside ? "" : message;
  $("render-error").hidden = beside || !message;
  if (!beside) return;
  const text = Object.assign(document.createElement("p"), { id: "render-field-error", className: "field-error", textContent: message });
  text.setAttribute("role", "alert");
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", text.id);
  if ($("render-more").contains(input)) $("render-more").open = true;
  input.closest("label").after(text);
  input.focus();
}

const CONSENT = "Nobody’s consent is recorded for this face. Add it again, as a presenter, with its owner’s consent.";

/** The field that a message of the server is about, and the message without its name. */
function located({ code, message }) {
  if (code === "no_consent") return [CONSENT, "face"];
  const [, name, text] = /^(audio|video|driving|style_strength|size|framing|background|face|style): (.*)/s.exec(message) ?? [];
  if (name) return [text.charAt(0).toUpperCase() + text.slice(1), name];
  return [message, code.startsWith("style_") ? "style" : ""];
}

function setBusy(value) {
  busy = value;
  $("render-progress").hidden = !value;
  $("render-submit").disabled = value;
  for (const name of [...FILES, ...TICKS, ...VALUES]) field(name).disabled = value;
}

function showProgress(fraction, message) {
  $("render-bar").value = fraction;
  $("render-text").textContent = message;
}

/** Show a film or nothing in a video element. */
function show(video, film) {
  if (video.src) URL.revokeObjectURL(video.src);
  if (film) video.src = URL.createObjectURL(film);
  else video.removeAttribute("src");
}

function showResult(before, after) {
  show($("render-before").querySelector("video"), before);
  show($("render-after"), after);
  $("render-before").hidden = !before;
  $("render-download").href = $("render-after").src;
  $("render-result").hidden = !after;
  if (after) $("render-result").scrollIntoView({ block: "nearest" });
}

const file = (name) => field(name).files[0];

/** What is asked for; only what has a meaning with the files that were chosen. */
function wanted(presenter) {
  const video = file("video");
  const asked = { audio: file("audio"), driving: file("driving") };
  if (video) Object.assign(asked, { video, face: field("face").value, loop: field("loop").checked });
  else {
    Object.assign(asked, { presenter, driving_parts: asked.driving && field("driving_head").checked ? ALL_PARTS : "" });
    for (const name of ["size", "framing", "background"]) asked[name] = field(name).value;
  }
  if (!asked.driving && asked.audio) Object.assign(asked, { style: field("style").value, style_strength: field("style_strength").value });
  return asked;
}

/** What is missing, as a message and a field; an empty message when nothing is. */
function problem({ audio, driving, video, face }) {
  if (!audio && !driving && !face) return ["Choose a file with the speech first.", "audio"];
  if ((video || driving) && !field("consent").checked) return ["Confirm that everyone in the videos has agreed.", "consent"];
  if (face && !field("face-consent").checked) return ["Confirm that the owner of the face has agreed.", "face-consent"];
  return [""];
}

async function submit(presenter) {
  if (busy) return;
  const asked = wanted(presenter());
  const [message, name] = problem(asked);
  fail(message, name);
  if (message) return;
  setBusy(true);
  showResult(null, null);
  stopping = new AbortController();
  let error = null;
  try {
    showResult(asked.video, await renderFilm(asked, showProgress, stopping.signal));
  } catch (failure) {
    if (!stopping.signal.aborted) error = failure;
  }
  setBusy(false);
  if (error) fail(...located(error));
}

/** Show the fields that have a meaning with the files that were chosen. */
function layOut() {
  const [video, driving] = [file("video"), file("driving")];
  for (const element of form.querySelectorAll("[data-with]")) {
    element.hidden = { video: !video, presenter: Boolean(video), driving: !driving || Boolean(video) }[element.dataset.with];
  }
  $("render-consent-field").hidden = !video && !driving;
  $("render-face-consent-field").hidden = !video || !field("face").value;
  $("render-style-field").hidden = field("style").options.length < 2 || Boolean(driving);
}

function fill(select, names) {
  const before = select.value;
  select.replaceChildren(select.options[0], ...names.map((name) => new Option(name, name)));
  select.value = names.includes(before) ? before : "";
}

/**
 * Wire the dialog; `presenter()` is the name of the one who speaks where there is no video, `faces()` are the names of those whose
 * faces can be put on the person in one.
 */
export function prepareRender(presenter, faces) {
  $("open-render").addEventListener("click", async () => {
    if (!busy) {
      $("render-speaker").textContent = presenter();
      fill(field("face"), faces());
      fill(field("style"), await listStyles().catch(() => []));
      layOut();
    }
    dialog.showModal();
  });
  $("render-stop").addEventListener("click", () => stopping.abort());
  $("render-close").addEventListener("click", () => dialog.close());
  form.addEventListener("change", layOut);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(presenter);
  });
  dialog.addEventListener("close", () => {
    for (const video of dialog.querySelectorAll("video")) video.pause();
  });
}
