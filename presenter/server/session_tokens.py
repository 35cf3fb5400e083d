"""Session tokens of other services' APIs: a client's server gets one with the API key, its page controls a session."""

from __future__ import annotations

from presenter.errors import IdentityNotFoundError
from presenter.server.session_manager import SessionManager

DEFAULT = "default"
"""The presenter that is shown for a name that there is not: the services' clients send ids of their own faces."""
_MAX_TOKENS = 256


class SessionTokens:
    """The tokens of one API, and the session of each; the oldest are forgotten."""

    def __init__(self) -> None:
        """Begin without session tokens."""
        self._sessions: dict[str, str] = {}

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
