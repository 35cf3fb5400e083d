"""Session tokens of other services' APIs: a client's server gets one with the API key, its page controls a session.

The API key is this server's token, or one to administer it.
"""

from __future__ import annotations

from presenter.errors import IdentityNotFoundError
from presenter.server.access import may_administer
from presenter.server.error_responses import ApiError
from presenter.server.session_manager import SessionManager
from presenter.server.tokens import Tokens

DEFAULT = "default"
"""The presenter that is shown for a name that there is not: the services' clients send ids of their own faces."""
_MAX_TOKENS = 256


class SessionTokens:
    """The tokens of one API, and the session of each; the oldest are forgotten."""

    def __init__(self, access: Tokens | None, header: str) -> None:
        """Begin without session tokens.

        Args:
            access: reads the server's tokens; None if it has none.
            header: in which clients send their API key, for messages.
        """
        self._access, self._header = access, header
        self._sessions: dict[str, str] = {}

    def check_key(self, given: str) -> None:
        """Refuse an API key that may not administer with `ApiError`, if the server has a token."""
        if self._access is not None and not may_administer(self._access, given):
            wanted = "the token that this server was started with, or one to administer it (POST /api/tokens)"
            raise ApiError(401, "unauthorized", f"{self._header}: expected {wanted}.")

    def add(self, token: str, session: str) -> None:
        """Have a token control a session."""
        self._sessions[token] = session
        if len(self._sessions) > _MAX_TOKENS:
            del self._sessions[next(iter(self._sessions))]

    def get(self, token: str) -> str | None:
        """Return the session of a token."""
        return self._sessions.get(token)

    def pop(self, token: str) -> str | None:
        """Return the session of a token, which is not valid any more."""
        return self._sessions.pop(token, None)


async def open_session(sessions: SessionManager, name: str) -> tuple[str, bool]:
    """Open a session with the presenter of this name, or with `DEFAULT`; return its id, and whether there is one."""
    try:
        return await sessions.open(name, "off"), True
    except IdentityNotFoundError:
        return await sessions.open(DEFAULT, "off"), False
