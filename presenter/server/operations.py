"""Every operation of the HTTP API, with who may ask for it: what access control and the description are made from.

A route that is missing here is refused to everyone but the holder of the server's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from presenter.server import bodies
from presenter.server.tokens import Scope

SDP = "application/sdp"
FORM = "multipart/form-data"

OPEN = None
"""No token is needed."""
OWNER: frozenset[Scope] = frozenset()
"""The server's own token only."""
ADMIN = frozenset({Scope.ADMINISTER})
SPEAKERS = frozenset({Scope.SPEAK, Scope.ADMINISTER})
VIEWERS = frozenset({Scope.WATCH, Scope.ADMINISTER})
ANYONE = frozenset(Scope)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operation is for, who may ask for it, what it takes and what it answers.

    Attributes:
        summary: In a few words.
        access: Scopes of which one is needed; `OWNER` for the server's token only, `OPEN` for nothing at all.
        body: A model of `bodies`, a media type with its schema, or None.
        answer: Status of success, and its media type; empty for no body.
        query: Parameters of the address, with their schemas.
        refusals: Statuses of errors beside those that any operation may answer: 400, 401, 403, 404, 405, 408, 413, 429
            and 503.
    """

    summary: str
    access: frozenset[Scope] | None
    body: type[Any] | tuple[str, dict[str, Any]] | None = None
    answer: tuple[int, str] = (200, "application/json")
    query: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()


_BINARY = {"type": "string", "contentEncoding": "binary"}
_WORD = {"type": "string"}


def _form(required: list[str], **fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return FORM, {"type": "object", "required": required, "properties": fields}


_ENROLMENT = _form(["name"], name=_WORD, photo=_BINARY, video=_BINARY, consent=_WORD, face=_WORD, personalize=_WORD)
_RENDER = _form(
    [],
    **dict.fromkeys(("audio", "video", "driving"), _BINARY),
    **dict.fromkeys(bodies.RenderTexts.model_fields, _WORD),
)
_NOTHING = (204, "")
_UPGRADE = (101, "")
_HTML = (200, "text/html")

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/"): Operation(summary="The page", access=OPEN, answer=_HTML),
    ("GET", "/embed"): Operation(
        summary="The presenter of a session alone, for frames", access=OPEN, answer=_HTML,
        query=dict.fromkeys(("session", "transparent", "captions", "badge"), _WORD),
    ),
    ("GET", "/favicon.ico"): Operation(summary="The page's icon", access=OPEN, answer=(200, "image/svg+xml")),
    ("GET", "/static"): Operation(summary="Files of the page", access=OPEN, answer=(200, "*/*")),
    ("GET", "/healthz"): Operation(summary="Whether the server runs", access=OPEN),
    ("GET", "/readyz"): Operation(summary="Whether it takes sessions, and how many there are", access=OPEN),
    ("GET", "/metrics"): Operation(summary="Figures for Prometheus", access=ADMIN, answer=(200, "*/*")),
    ("GET", "/api/openapi.json"): Operation(summary="This description", access=ANYONE),
    ("POST", "/api/tokens"): Operation(
        summary="Make a scoped, short-lived token", access=OWNER, body=bodies.TokenRequest,
        answer=(201, "application/json"), refusals=(409,),
    ),
    ("GET", "/api/presenters"): Operation(summary="The presenters", access=ADMIN),
    ("POST", "/api/presenters"): Operation(
        summary="Enroll a presenter from a photo or a video", access=ADMIN, body=_ENROLMENT,
        answer=(202, "application/json"), refusals=(422, 507),
    ),
    ("PATCH", "/api/presenters/{name}"): Operation(
        summary="Rename a presenter", access=ADMIN, body=bodies.RenameRequest, refusals=(409, 422)
    ),
    ("DELETE", "/api/presenters/{name}"): Operation(
        summary="Delete a presenter", access=ADMIN, answer=_NOTHING, refusals=(422,)
    ),
    ("GET", "/api/presenters/{name}/thumbnail"): Operation(
        summary="A presenter's picture", access=ADMIN, answer=(200, "image/png"), refusals=(422,)
    ),
    ("POST", "/api/presenters/{name}/personalize"): Operation(
        summary="Learn the mouth of a presenter from the frames that are kept of its video", access=ADMIN,
        answer=(202, "application/json"), refusals=(422,),
    ),
    ("GET", "/api/jobs/{id}"): Operation(summary="Progress of an enrolment or a personalisation", access=ADMIN),
    ("DELETE", "/api/jobs/{id}"): Operation(summary="Stop a job", access=ADMIN, answer=_NOTHING),
    ("GET", "/api/jobs/{id}/picture"): Operation(
        summary="Mouths before and after a personalisation", access=ADMIN, answer=(200, "image/jpeg"), refusals=(409,)
    ),
    ("POST", "/api/renders"): Operation(
        summary="Render a film", access=ADMIN, body=_RENDER,
        answer=(202, "application/json"), refusals=(422, 507),
    ),
    ("GET", "/api/renders/{id}"): Operation(summary="Progress of a film", access=ADMIN),
    ("DELETE", "/api/renders/{id}"): Operation(summary="Delete a film", access=ADMIN, answer=_NOTHING),
    ("GET", "/api/renders/{id}/file"): Operation(
        summary="The film", access=ADMIN, answer=(200, "video/mp4"), refusals=(409, 416)
    ),
    ("GET", "/api/styles"): Operation(summary="Names of the speaking styles", access=ADMIN),
    ("GET", "/api/voice"): Operation(summary="Whether there is a voice for text", access=SPEAKERS),
    ("GET", "/api/capacity"): Operation(summary="How many sessions there may be", access=ADMIN),
    ("POST", "/api/sessions"): Operation(
        summary="Open a session", access=ADMIN, body=bodies.SessionRequest, refusals=(422,)
    ),
    ("PATCH", "/api/sessions/{id}"): Operation(
        summary="Change a session's presenter, and how it speaks and is shown", access=ADMIN, body=bodies.ChangeRequest,
        answer=_NOTHING, refusals=(422,),
    ),
    ("DELETE", "/api/sessions/{id}"): Operation(summary="End a session", access=ADMIN, answer=_NOTHING),
    ("POST", "/api/sessions/{id}/offer"): Operation(
        summary="Connect the page, with its microphone", access=SPEAKERS, body=bodies.OfferRequest, refusals=(409,)
    ),
    ("POST", "/api/sessions/{id}/interrupt"): Operation(summary="Interrupt the presenter", access=SPEAKERS),
    ("POST", "/api/sessions/{id}/say"): Operation(
        summary="Say a text", access=SPEAKERS, body=bodies.SayRequest, refusals=(501,)
    ),
    ("GET", "/api/sessions/{id}/audio"): Operation(
        summary="The speech socket of a bot", access=SPEAKERS, answer=_UPGRADE,
        query=dict.fromkeys(("dialect", "token", "output_format", "encoding", "sample_rate"), _WORD),
    ),
    ("GET", "/api/sessions/{id}/events"): Operation(
        summary="Follow a session by a websocket", access=ANYONE, answer=_UPGRADE, query={"token": _WORD}
    ),
    ("POST", "/api/sessions/{id}/whip"): Operation(
        summary="Publish a session by WHIP (RFC 9725)", access=ADMIN, body=bodies.PublishRequest,
        answer=(201, "application/json"), refusals=(502,),
    ),
    ("DELETE", "/api/sessions/{id}/whip/{publication}"): Operation(
        summary="End a publication", access=ADMIN, answer=_NOTHING
    ),
    ("POST", "/whep/{id}"): Operation(
        summary="Watch a session by WHEP", access=VIEWERS, body=(SDP, _WORD), answer=(201, SDP),
        query={"matte": _WORD}, refusals=(415,),
    ),
    ("OPTIONS", "/whep/{id}"): Operation(summary="Preflight of WHEP", access=OPEN, answer=_NOTHING),
    ("DELETE", "/whep/{id}/{viewer}"): Operation(summary="Stop watching", access=VIEWERS, answer=_NOTHING),
    ("OPTIONS", "/whep/{id}/{viewer}"): Operation(summary="Preflight of WHEP", access=OPEN, answer=_NOTHING),
    ("POST", "/compose/token"): Operation(
        summary="Simli: a session and its token; the key is in x-simli-api-key", access=OPEN,
        body=bodies.SimliSessionRequest, refusals=(422,),
    ),
    ("GET", "/compose/ice"): Operation(
        summary="Simli: the ICE servers; the key is in x-simli-api-key", access=OPEN
    ),
    ("GET", "/compose/webrtc/p2p"): Operation(
        summary="Simli: offer, then audio, by a websocket", access=OPEN, answer=_UPGRADE,
        query={"session_token": _WORD},
    ),
    ("POST", "/v1/sessions/token"): Operation(
        summary="LiveAvatar: a session and its token; the key is in X-API-KEY", access=OPEN,
        body=bodies.LiveAvatarSessionRequest, refusals=(422,),
    ),
    ("POST", "/v1/sessions/start"): Operation(summary="LiveAvatar: begin, with a session token", access=OPEN),
    ("POST", "/v1/sessions/keep-alive"): Operation(summary="LiveAvatar: keep a session", access=OPEN),
    ("POST", "/v1/sessions/stop"): Operation(summary="LiveAvatar: end a session", access=OPEN),
    ("OPTIONS", "/v1/sessions/{action}"): Operation(summary="Preflight of LiveAvatar", access=OPEN, answer=_NOTHING),
    ("GET", "/v1/sessions/socket"): Operation(
        summary="LiveAvatar: speech by a websocket", access=OPEN, answer=_UPGRADE, query={"session_token": _WORD}
    ),
}  # fmt: skip
"""By method and path. `*` routes, which only refuse other methods, are not operations."""
