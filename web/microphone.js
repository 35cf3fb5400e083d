// Access to the microphone, with messages for users where it is not available.

import { LinkError } from "./link.js";

const ERRORS = {
  NotAllowedError: ["Microphone blocked", "Allow the microphone for this page in the address bar, then press start again."],
  NotFoundError: ["No microphone found", "Connect a microphone or choose another one, then press start again."],
  NotReadableError: ["Microphone is busy", "Another program is using it. Close that program, then press start again."],
  OverconstrainedError: ["Microphone not available", "The chosen microphone is gone. Choose another one, then press start again."],
};

/** Why the microphone is not available to this page, or null. */
export function insecure() {
  if (window.isSecureContext && navigator.mediaDevices?.getUserMedia) return null;
  return new LinkError("This page is not secure", "Browsers give the microphone only to https:// pages and to http://localhost. Open the page that way.");
}

/** Request the microphone, with the browser's echo cancellation on. */
export async function openMicrophone(deviceId) {
  const reason = insecure();
  if (reason) throw reason;
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const known = ERRORS[error.name] ?? ["The microphone did not start", error.message || error.name];
    throw new LinkError(...known);
  }
}
