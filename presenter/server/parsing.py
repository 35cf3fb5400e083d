"""Reads what requests carry: JSON objects, and the form of an enrolment with its photo straight to disk."""

import json
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from presenter.server.enrolment_jobs import Enrolments
from presenter.server.error_responses import ApiError

MAX_NAME_BYTES = 1024
CHUNK_BYTES = 1 << 16


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the body.

    Raises:
        ApiError: if it is not a JSON object.
    """
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "bad_request", f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", "The body must be a JSON object.")
    return body


def text(body: dict[str, Any], key: str) -> str:
    """Return a field of the body.

    Raises:
        ApiError: if it is missing, empty or not a text.
    """
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ApiError(400, "bad_request", f'"{key}" must be a non-empty text.')
    return value


async def read_upload(request: web.Request, enrolments: Enrolments, limit: int) -> tuple[str, Path]:
    """Read the two fields in either order; on failure nothing stays behind.

    Args:
        request: a multipart request with the fields "name" and "photo".
        enrolments: gives the path to write to; the caller submits or discards it.
        limit: bytes a photo may have.

    Returns:
        The name as it was sent, and where the photo lies.

    Raises:
        ApiError: if the form is malformed, incomplete or too large.
        CapacityError: if too many jobs wait already.
    """
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "bad_request", 'Send multipart/form-data with the fields "name" and "photo".')
    if (request.content_length or 0) > limit + CHUNK_BYTES:
        raise _too_large(limit)
    enrolments.check_room()
    name: str | None = None
    upload: Path | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ApiError(400, "bad_request", "Nested multipart is not understood here.")
            if part.name == "name":
                name = await _read_name(part)
            elif part.name == "photo" and upload is None:
                upload = enrolments.upload_path(part.filename or "")
                await _save(part, upload, limit)
        if name is None or upload is None or upload.stat().st_size == 0:
            raise ApiError(400, "bad_request", 'The form needs a "name" and a "photo" that is not empty.')
    except BaseException as error:
        if upload is not None:
            enrolments.discard(upload)
        if isinstance(error, (ValueError, AssertionError)):  # what aiohttp raises on a malformed body
            raise ApiError(400, "bad_request", "The multipart body is malformed.") from error
        raise
    return name, upload


async def _read_name(part: BodyPartReader) -> str:
    name = b""
    while data := await part.read_chunk(MAX_NAME_BYTES):  # a field comes in as many pieces as the network makes of it
        name += data
        if len(name) > MAX_NAME_BYTES:
            raise ApiError(400, "bad_request", f'"name" is too long; at most {MAX_NAME_BYTES} bytes are read.')
    return name.decode(errors="replace")


async def _save(part: BodyPartReader, path: Path, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        while data := await part.read_chunk(CHUNK_BYTES):
            size += len(data)
            if size > limit:
                raise _too_large(limit)
            file.write(data)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"The file is too large; at most {limit >> 20} MB are accepted.")
