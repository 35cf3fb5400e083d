// The dialog that lip-syncs a recording with the presenter, or with the person in a video.

import { renderFilm } from "./api.js";

const $ = (id) => document.getElementById(id);
const dialog = $("render");

let busy = false;

function fail(message) {
  $("render-error").textContent = message;
  $("render-error").hidden = !message;
}

function setBusy(value) {
  busy = value;
  $("render-progress").hidden = !value;
  $("render-submit").disabled = value;
  for (const id of ["render-audio", "render-video", "render-consent"]) $(id).disabled = value;
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
}

async function submit(presenter) {
  const audio = $("render-audio").files[0];
  const video = $("render-video").files[0];
  const consent = !video || $("render-consent").checked;
  fail(!audio ? "Choose a file with the speech first." : consent ? "" : "Confirm that the person in the video has agreed.");
  if (!audio || !consent || busy) return;
  setBusy(true);
  showResult(null, null);
  try {
    showResult(video, await renderFilm(audio, video, presenter(), showProgress));
  } catch (error) {
    fail(error.message);
  } finally {
    setBusy(false);
  }
}

/** Wire the dialog; `presenter()` is the name of the one who speaks where there is no video. */
export function prepareRender(presenter) {
  $("open-render").addEventListener("click", () => dialog.showModal());
  $("render-close").addEventListener("click", () => dialog.close());
  $("render-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(presenter);
  });
  dialog.addEventListener("close", () => {
    for (const video of dialog.querySelectorAll("video")) video.pause();
  });
}
