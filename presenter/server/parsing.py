"""Parses request bodies: JSON objects, SDP, and the form of an enrolment, whose photo or video is streamed to disk."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from pydantic import BaseModel, ValidationError

from presenter.errors import first_mistake
from presenter.server.bodies import MAX_NAME_BYTES
from presenter.server.error_responses import ApiError
from presenter.server.uploads import Uploads
from stream.rtc.sdp import MAX_SDP_BYTES

MAX_FORM_LINES = 200
"""Lines of a form outside its fields: preamble, boundaries, headers."""
CHUNK_BYTES = 1 << 16
_NUMBER = re.compile("[1-9][0-9]{0,2}")
BODY_TIMEOUT_S = 20.0
"""JSON and SDP that take longer are refused."""
UPLOAD_TIMEOUT_S = 120.0
"""An upload that takes longer is refused, so that slow senders do not block others."""
VIDEO_TIMEOUT_S = 600.0
"""The same for a video."""
_TIMES = f"a photo within {UPLOAD_TIMEOUT_S:.0f} s, a video within {VIDEO_TIMEOUT_S:.0f} s"
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")

Body = TypeVar("Body", bound=BaseModel)


class LimitedLines:
    """A request's body that limits the number of lines read; reads by size are not counted."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._left = MAX_FORM_LINES

    async def readline(self, **options: Any) -> bytes:
        """As of the reader; raises `ValueError` after `MAX_FORM_LINES` calls."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"expected a form with at most {MAX_FORM_LINES} lines of headers, got more")
        return await self._content.readline(**options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class UploadForm(NamedTuple):
    """The form of an enrolment."""

    name: str
    """As it was sent."""
    consent: str
    """Who consented; empty if not given."""
    photo: Path
    """Or video; what it is is recognised by its content."""
    face: int | None
    """Which of several faces, counted from the left from 1."""
    personalise: bool
    """Whether the generator is to be tuned to the person."""


class UploadLimits(NamedTuple):
    """Bytes that the fields of an enrolment may have."""

    photo: int
    video: int


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise ApiError(408, "timeout", f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from error


async def read_json(request: web.Request, kind: type[Body]) -> Body:
    """Return the body, which is UTF-8 independent of its content type (RFC 8259, section 8.1).

    Raises:
        ApiError: if it is no such JSON object (names the key and what was expected), or too slow.
    """
    try:
        return kind.model_validate_json(await _body(request))
    except ValidationError as error:
        raise _refused(error, kind) from error


def parse_fields(fields: dict[str, Any], kind: type[Body]) -> Body:
    """Return the texts of a form.

    Raises:
        ApiError: if one can't be used; names it and what was expected.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _refused(error, kind) from error


def _refused(error: ValidationError, kind: type[BaseModel]) -> ApiError:
    return ApiError(400, "bad_request", f"{first_mistake(error, kind)}.")


async def read_sdp(request: web.Request) -> str:
    """Return the body, which is UTF-8 (RFC 8866, section 4.4).

    Raises:
        ApiError: if it is not, too long or too slow.
    """
    try:
        body = await _body(request)
        if len(body) > MAX_SDP_BYTES:
            raise ApiError(413, "too_large", f"Expected an SDP offer of at most {MAX_SDP_BYTES} bytes.")
        return body.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, "bad_offer", "Expected an SDP offer in UTF-8, got other bytes.") from error


async def read_upload(request: web.Request, uploads: Uploads, limits: UploadLimits) -> UploadForm:
    """Read the fields in any order; on failure the upload is removed.

    Args:
        request: a multipart request with the fields "name", "photo" or "video", and, where they matter, "consent",
            "face" and "personalize".
        uploads: gives the path to write to; the caller discards it.
        limits: of the fields.

    Raises:
        ApiError: if the form is malformed, incomplete, too large or too slow.
        CapacityError: if there are as many uploads as there may be.
    """
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "bad_request", 'Send multipart/form-data with the fields "name" and "photo" or "video".')
    if (request.content_length or 0) > max(limits) + CHUNK_BYTES:
        raise too_large(max(limits))
    uploads.check_room()
    try:
        with contextlib.ExitStack() as stack:
            begun = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(begun + UPLOAD_TIMEOUT_S) as timeout:
                fields = await _read_form(
                    request, uploads, limits, stack, lambda: timeout.reschedule(begun + VIDEO_TIMEOUT_S)
                )
            stack.pop_all()  # owned by the caller from here on
            return fields
    except TimeoutError as error:
        raise ApiError(408, "timeout", f"The upload did not arrive in time: {_TIMES}.") from error
    except (ValueError, AssertionError, LookupError) as error:  # what aiohttp raises on a malformed body
        raise ApiError(400, "bad_request", "The multipart body is malformed.") from error


async def _read_form(
    request: web.Request,
    uploads: Uploads,
    limits: UploadLimits,
    stack: contextlib.ExitStack,
    expect_video: Callable[[], None],
) -> UploadForm:
    name: str | None = None
    personalise = False
    consent = ""
    face: int | None = None
    upload: Path | None = None
    # The preamble and the headers are read line by line, without yielding while lines are available.
    content: Any = LimitedLines(request.content)
    async for part in MultipartReader(request.headers, content):
        if not isinstance(part, BodyPartReader):
            raise ApiError(400, "bad_request", "Nested multipart is not understood here.")
        if part.name == "name":
            name = await read_text(part)
        elif part.name == "consent":
            consent = await read_text(part)
        elif part.name == "face":
            face = _face_number(await read_text(part))
        elif part.name == "personalize":
            personalise = truth(part.name, await read_text(part))
        elif part.name in ("photo", "video") and upload is None:
            upload = uploads.open(part.filename or "")
            stack.callback(uploads.discard, upload)
            if part.name == "video":
                expect_video()
            await save_part(part, upload, limits.video if part.name == "video" else limits.photo)
    if name is None or upload is None or upload.stat().st_size == 0:
        raise ApiError(400, "bad_request", 'The form needs a "name" and a "photo" or "video" that is not empty.')
    return UploadForm(name, consent, upload, face, personalise)


def truth(name: str, text: str) -> bool:
    """The value of a field that is true or false; an empty one is false.

    Raises:
        ApiError: if it is something else.
    """
    if text.strip().casefold() not in (*_YES, *_NO):
        raise ApiError(400, "bad_request", f"{name}: expected true or false, got {text[:20]!r}.")
    return text.strip().casefold() in _YES


def _face_number(text: str) -> int | None:
    """A face's number; None where the field is empty."""
    if not text.strip():
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise ApiError(400, "bad_request", f"face: expected a whole number from 1, got {text[:20]!r}.")
    return int(text)


async def read_text(part: BodyPartReader) -> str:
    """A short field of a form.

    Raises:
        ApiError: if it is longer than `MAX_NAME_BYTES`.
    """
    text = b""
    while data := await part.read_chunk(MAX_NAME_BYTES):  # a field may arrive in several chunks
        text += data
        if len(text) > MAX_NAME_BYTES:
            raise ApiError(400, "bad_request", f'"{part.name}" is too long; at most {MAX_NAME_BYTES} bytes are read.')
    return text.decode(errors="replace")


async def save_part(part: BodyPartReader, path: Path, limit: int) -> int:
    """Write a file of a form to disk; returns its size in bytes.

    Raises:
        ApiError: if it has more than `limit` bytes.
    """
    size = 0
    with path.open("wb") as file:
        while data := await part.read_chunk(CHUNK_BYTES):
            size += len(data)
            if size > limit:
                raise too_large(limit)
            file.write(data)
    return size


def too_large(limit: int) -> ApiError:
    """The refusal of a file with more than `limit` bytes."""
    return ApiError(413, "too_large", f"The file is too large; at most {limit >> 20} MB are accepted.")
