"""Application keys and look-ups shared by the routes."""

from aiohttp import web

from presenter.runtime.identities import IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.server.enrolment_jobs import Enrolments
from presenter.server.first_requests import FirstRequests
from presenter.server.render_jobs import Renders
from presenter.server.session_host import SessionHost
from presenter.server.session_manager import SessionManager
from presenter.server.tokens import Tokens
from stream.rtc.peer_config import PeerConfig

ENROLMENTS = web.AppKey("enrolments", Enrolments)
FIRST_REQUESTS = web.AppKey("first_requests", FirstRequests)
PEER_CONFIG = web.AppKey("peer_config", PeerConfig)
METRICS = web.AppKey("metrics", Metrics)
RENDERS = web.AppKey("renders", Renders)
SESSIONS = web.AppKey("sessions", SessionManager)
STORE = web.AppKey("store", IdentityStore)
TOKENS: web.AppKey[Tokens | None] = web.AppKey("tokens")
"""None where the server has no token."""
UPLOAD_LIMIT = web.AppKey("upload_limit", int)
VIDEO_LIMIT = web.AppKey("video_limit", int)


def host_of(request: web.Request) -> SessionHost:
    """Return the session host that `{id}` in the path names.

    Raises:
        SessionNotFoundError: if there is no such session.
    """
    return request.app[SESSIONS].host(request.match_info["id"])
