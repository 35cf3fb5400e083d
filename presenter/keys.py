"""What the routes of the application share."""

from aiohttp import web

from presenter.enrolment import Enrolments
from presenter.identities import IdentityStore
from presenter.metrics import Metrics
from presenter.seat import Seat
from presenter.sessions import Sessions

ENROLMENTS = web.AppKey("enrolments", Enrolments)
METRICS = web.AppKey("metrics", Metrics)
SESSIONS = web.AppKey("sessions", Sessions)
STORE = web.AppKey("store", IdentityStore)
UPLOAD_LIMIT = web.AppKey("upload_limit", int)


def seat_of(request: web.Request) -> Seat:
    """Return the seat of the session that `{id}` in the path names.

    Raises:
        ApiError: if there is no such session.
    """
    return request.app[SESSIONS].seat(request.match_info["id"])
