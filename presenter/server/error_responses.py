"""Error responses: every error becomes `{"error": {"code", "message"}}` with the status of its type."""

import errno
import logging

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from models.errors import CheckpointError
from models.matting import MattingError
from presenter.errors import (
    CapacityError,
    ConsentError,
    EnrollError,
    IdentityDamagedError,
    IdentityNotFoundError,
    JobNotFoundError,
    MediaError,
    OfferError,
    PageConnectedError,
    PresenterError,
    PublicationNotFoundError,
    PublishError,
    PublishTargetError,
    SessionNotFoundError,
    StyleDamagedError,
    StyleNotFoundError,
    ViewerNotFoundError,
    VoiceMissingError,
)

RETRY_AFTER_S = 10

STATUS_AND_CODE: dict[type[Exception], tuple[int, str]] = {
    CapacityError: (503, "capacity"),
    CheckpointError: (422, "style_damaged"),  # a style of another network: other files are checked where they are read
    ConsentError: (403, "no_consent"),
    EnrollError: (422, "enroll_failed"),
    IdentityDamagedError: (422, "presenter_damaged"),
    IdentityNotFoundError: (404, "presenter_not_found"),
    JobNotFoundError: (404, "job_not_found"),
    MattingError: (422, "no_matte"),
    MediaError: (400, "media_error"),
    OfferError: (400, "bad_offer"),
    PageConnectedError: (409, "already_connected"),
    PublicationNotFoundError: (404, "publication_not_found"),
    PublishError: (502, "whip_failed"),
    PublishTargetError: (403, "whip_target"),
    SessionNotFoundError: (404, "session_not_found"),
    StyleDamagedError: (422, "style_damaged"),
    StyleNotFoundError: (404, "style_not_found"),
    ViewerNotFoundError: (404, "viewer_not_found"),
    VoiceMissingError: (501, "no_voice"),
    PresenterError: (400, "bad_request"),
}
"""Status and code of each error type; a type that is not here is answered as its base class."""

_CODE_OF_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}

DISK_FULL = "The server's disk is full; nothing was kept. Try again when its owner has made room."

_log = logging.getLogger(__name__)


def is_disk_full(error: BaseException) -> bool:
    """Whether there was no space to write to, or its owner's share was used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class OneLine(logging.Filter):
    """Of requests that aiohttp can't parse, logs what was wrong with them, in one line instead of a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change such a record; keep all."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.msg, record.args = "a request that can't be parsed: %s", (" ".join(str(error).split())[:200],)
            record.exc_info, record.exc_text, record.levelno, record.levelname = None, None, logging.INFO, "INFO"
        return True


class ApiError(Exception):
    """A refusal by a route or a middleware: an HTTP status, a stable code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep the three parts; `status` is the HTTP status."""
        super().__init__(message)
        self.status = status
        self.code = code


def error_response(status: int, code: str, message: str) -> web.Response:
    """Build `{"error": {"code", "message"}}`; a 503 also has `Retry-After`."""
    headers = {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)} if status == 503 else {}
    if status == 401:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert every failure to a JSON error; only bugs become a 500, and they are logged with their traceback."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error.status, error.code, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _CODE_OF_STATUS.get(error.status, "http_error")
        response = error_response(error.status, code, f"{request.method} {request.path}: {error.reason}.")
        if hdrs.ALLOW in error.headers:  # a 405 must list what is allowed (RFC 9110, 15.5.6)
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except (web.RequestPayloadError, HttpProcessingError) as error:  # such as invalid gzip
        request.content.feed_eof()  # aiohttp would read the rest, fail on the same bytes, and log a traceback
        response = error_response(400, "bad_request", f"The body can't be read: {' '.join(str(error).split())}.")
        response.force_close()
        return response
    except Exception as error:
        for kind in type(error).__mro__:
            if kind in STATUS_AND_CODE:
                return error_response(*STATUS_AND_CODE[kind], str(error))
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # of a file that is asked for
            return error_response(404, "not_found", f"{request.method}: nothing has a name as long as this path's.")
        if is_disk_full(error):
            _log.error("%s %s: %s", request.method, request.path, error)
            return error_response(507, "disk_full", DISK_FULL)
        _log.exception("%s %s failed", request.method, request.path)
        return error_response(500, "internal", "The server failed on this request; its log says why.")
