// Playback with sound, within the browser's autoplay rules.

/** Play a stream; where sound needs a gesture first, play it muted and show the button that asks for one. */
export async function play(video, stream, unmute) {
  if (video.srcObject !== stream) video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // a newer play() took over
    video.muted = true;
    unmute.hidden = false;
    await video.play().catch(() => {});
  }
}
