// Inserts a presenter at the position of this script, or, if that is the page's head, at the end of its body:
//
//   <script src="HOST/static/embed-presenter.js" data-session="ID" async></script>
//
// Size: data-width and data-height, in CSS units or as a number of pixels. Without them as wide as its container, at most 640px; a size
// that is not given follows from the square picture.
// data-token: a token that may watch the session, where the server asks viewers for one (POST /api/tokens, scope "watch").
// Boolean options: data-transparent (no background), data-captions, data-no-badge.
(() => {
  const script = document.currentScript;
  const { session, token, transparent, captions, noBadge, width, height } = script.dataset;
  if (!session) {
    console.error("embed-presenter.js: expected data-session on its script element, got none");
    return;
  }
  const address = new URL("/embed", script.src);
  address.searchParams.set("session", session);
  if (transparent !== undefined) address.searchParams.set("transparent", "1");
  if (captions !== undefined) address.searchParams.set("captions", "1");
  if (noBadge !== undefined) address.searchParams.set("badge", "0");

  if (token) address.hash = new URLSearchParams({ token }).toString();

  const frame = document.createElement("iframe");
  frame.src = address;
  frame.title = "Presenter";
  frame.allow = "autoplay";
  // A frame whose colour scheme differs from its page's is rendered opaque by browsers.
  const length = (value) => (/^\d+(\.\d+)?$/.test(value) ? `${value}px` : value);
  const size = width || height ? { width: length(width) ?? "auto", height: length(height) ?? "auto" } : { width: "100%", maxWidth: "640px" };
  Object.assign(frame.style, { display: "block", ...size, aspectRatio: "1", border: "0", colorScheme: "light" });
  const insert = () => (document.head.contains(script) ? document.body.append(frame) : script.after(frame));
  if (document.body) insert();
  else document.addEventListener("DOMContentLoaded", insert, { once: true });
})();
