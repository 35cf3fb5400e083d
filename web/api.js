// Requests to the server, with the access token where one is needed and errors as one type.

import { thisTab } from "./storage.js";

/** A failed request: `code` from the server's `{"error": {"code", "message"}}`, or "network". */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Move `?token=` from the address into this tab's storage, so that it is not copied along with the link. */
export function adoptToken() {
  const url = new URL(location.href);
  const token = url.searchParams.get("token");
  if (!token) return;
  saveToken(token);
  url.searchParams.delete("token");
  history.replaceState(null, "", url);
}

export function saveToken(token) {
  thisTab.set("token", token.trim());
}

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const token = thisTab.get("token");
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new ApiError("network", "The server cannot be reached. Check that it is still running.");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const error = body?.error ?? { code: "http", message: `The server answered ${response.status}.` };
  throw new ApiError(error.code, error.message, response.status);
}

function sendJson(method, path, body) {
  return request(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    .then((response) => response.json());
}

/** `{presenters: [{name, thumbnail, own}], damaged: [{name, problem}]}`, in the server's order. */
export async function listPresenters() {
  return (await request("/api/presenters")).json();
}

const presenterUrl = (name) => `/api/presenters/${encodeURIComponent(name)}`;

/** Returns the name as the server keeps it. */
export async function renamePresenter(name, wanted) {
  return (await sendJson("PATCH", presenterUrl(name), { name: wanted })).name;
}

export const deletePresenter = (name) => request(presenterUrl(name), { method: "DELETE" });

const postJson = (path, body) => sendJson("POST", path, body);

/** An object URL of a picture that may need the token, which an `<img src>` cannot send. */
export async function pictureUrl(path) {
  return URL.createObjectURL(await (await request(path)).blob());
}

/** `{available, message}`: whether typed text can be spoken here, and if not, why. */
export async function getVoice() {
  return (await request("/api/voice")).json();
}

/** `microphone`: "voice" when the presenter repeats it, "interrupt" when it only interrupts, "off" when there is none. */
export const createSession = (presenter, microphone) => postJson("/api/sessions", { presenter, microphone });
export const sayText = (id, text) => postJson(`/api/sessions/${id}/say`, { text });
export const sendOffer = (id, description) => postJson(`/api/sessions/${id}/offer`, { sdp: description.sdp, type: description.type });

/** Free the session at once, also while the page is being closed. */
export function deleteSession(id) {
  return request(`/api/sessions/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

/**
 * Upload a photo and follow the job to its end; `onProgress(fraction, message)`.
 * `face` chooses one of several, counted from the left from 1; 0 when there is only one.
 */
export async function enroll(file, name, face, onProgress) {
  const form = new FormData();
  form.append("name", name);
  form.append("consent", "confirmed on the page"); // the form requires it before the upload
  if (face) form.append("face", String(face));
  form.append("photo", file);
  onProgress(0, "Uploading the photo…");
  let job = await (await request("/api/presenters", { method: "POST", body: form })).json();
  while (job.state === "queued" || job.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 400));
    job = await (await request(`/api/jobs/${job.id}`)).json();
    onProgress(job.progress, job.message);
  }
  if (job.state !== "done") throw new ApiError(job.error.code, job.error.message);
  return { name: job.presenter, warnings: job.warnings };
}
