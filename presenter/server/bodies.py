"""The JSON bodies that clients send."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from presenter.runtime.framing import Framing
from presenter.runtime.microphone import MicrophoneUse
from presenter.runtime.styles import MAX_STRENGTH
from presenter.server.tokens import MAX_LIFETIME_S
from stream.framing.canvas import COLOURS

MAX_NAME_BYTES = 1024
RENDER_FILES = ("audio", "video", "driving")
"""The fields of `POST /api/renders` that are files."""
_BACKGROUND = f"(?i)^(own|blur|#[0-9a-f]{{6}}|{'|'.join(COLOURS)})$"
_PARTS = "^(lips|brows|eyes|head)(,(lips|brows|eyes|head))*$"
_BACKGROUND_ECMA = _BACKGROUND.removeprefix("(?i)")  # JSON Schema's expressions have no flags

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]


class ShownRequest(BaseModel):
    """How a session's presenter speaks and is shown; no style is the presenter's own."""

    style: Name | None = None
    style_strength: Annotated[float, Field(ge=0, le=MAX_STRENGTH)] = 1.0
    size: Literal["own", "photo", "square", "720p", "1080p", "portrait", "portrait-720p"] = "own"
    framing: Literal["wide", "medium", "close"] = "medium"
    background: Annotated[str, Field(pattern=_BACKGROUND, json_schema_extra={"pattern": _BACKGROUND_ECMA})] = "own"
    """Never a file: its path would be the server's."""

    def framed(self) -> Framing:
        """The part that is about the picture."""
        return Framing(size=self.size, distance=self.framing, background=self.background)


class RenderTexts(ShownRequest):
    """The fields of `POST /api/renders` that are no files."""

    presenter: Name | None = None
    face: Name | None = None
    """Whose face the person in the video gets: a presenter's name."""
    loop: bool = False
    driving_parts: Annotated[str, Field(pattern=_PARTS)] = "lips"


class SessionRequest(ShownRequest):
    """`POST /api/sessions`."""

    presenter: Name
    microphone: MicrophoneUse = "voice"


class ChangeRequest(ShownRequest):
    """`PATCH /api/sessions/{id}`: what is named changes, except that a style and its strength go together."""

    presenter: Name | None = None

    @property
    def changes_style(self) -> bool:
        """Whether it names a style or a strength."""
        return not self.model_fields_set.isdisjoint({"style", "style_strength"})

    def reframed(self, before: Framing) -> Framing:
        """How the presenter is to be shown that was shown in some way before."""
        wanted, named = self.framed(), self.model_fields_set
        return Framing(
            size=wanted.size if "size" in named else before.size,
            distance=wanted.distance if "framing" in named else before.distance,
            background=wanted.background if "background" in named else before.background,
        )


class OfferRequest(BaseModel):
    """`POST /api/sessions/{id}/offer`."""

    sdp: Text
    type: Literal["offer"]


class SayRequest(BaseModel):
    """`POST /api/sessions/{id}/say`."""

    text: Text


class SimliSessionRequest(BaseModel):
    """`POST /compose/token`; the other fields of Simli's API are ignored."""

    faceId: Text


class LiveAvatarSessionRequest(BaseModel):
    """`POST /v1/sessions/token`; the other fields of LiveAvatar's API are ignored."""

    avatar_id: Name


class RenameRequest(BaseModel):
    """`PATCH /api/presenters/{name}`."""

    name: Name


class PublishRequest(BaseModel):
    """`POST /api/sessions/{id}/whip`."""

    url: Text
    token: Text | None = None


class TokenRequest(BaseModel):
    """`POST /api/tokens`; a session goes with `watch` and `speak`."""

    scope: Literal["watch", "speak", "administer"]
    session: Name | None = None
    expires_in: Annotated[int, Field(strict=True, ge=1, le=MAX_LIFETIME_S)] = 3600
    """In seconds."""
