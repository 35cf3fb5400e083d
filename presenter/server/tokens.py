"""Scoped tokens: who holds one may do one kind of thing for a while, without the server's token.

They are JSON Web Tokens (RFC 7519), signed with HMAC-SHA256. Nothing is stored: a token ends by its expiry, with its
session, or when the key changes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from enum import StrEnum
from typing import NamedTuple

import jwt

MAX_LIFETIME_S = 24 * 3600
"""The longest time a token may be valid."""
_ISSUER = "presenter"
_ALGORITHM = "HS256"
_SALT = b"presenter: key of scoped tokens"
_SCRYPT_N = 1 << 15  # 32 MB and about 0.1 s, once: who holds a scoped token must not find the server's token by trying


class Scope(StrEnum):
    """What a token is for."""

    WATCH = "watch"
    SPEAK = "speak"
    ADMINISTER = "administer"


class Grant(NamedTuple):
    """What a request may do."""

    scope: Scope | None
    """None for the server's own token, which may do everything."""
    session: str | None = None
    """The only session that it is for; None for all."""


class TokenError(Exception):
    """A token that is not valid; the message is for its holder."""


class Tokens:
    """Issues scoped tokens, and reads them and the server's own."""

    def __init__(self, token: str, key: str = "") -> None:
        """Derive the signing key, which takes about 0.1 s.

        Args:
            token: the server's own; not empty.
            key: what the signing key is derived from instead of `token`.
        """
        self._token = _raw(token)
        self._key = hashlib.scrypt(
            _raw(key) or self._token, salt=_SALT, n=_SCRYPT_N, r=8, p=1, maxmem=1 << 26, dklen=32
        )

    def issue(self, scope: Scope, session: str | None, lifetime_s: int) -> str:
        """Return a new token.

        Args:
            scope: what it is for.
            session: the id of the session that it is for; None for `ADMINISTER`.
            lifetime_s: how long it is valid, in seconds.
        """
        now = int(time.time())
        claims = {"iss": _ISSUER, "iat": now, "exp": now + lifetime_s, "jti": secrets.token_hex(8), "scope": str(scope)}
        if session is not None:
            claims["session"] = session
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, text: str) -> Grant:
        """Return what a token is for.

        Raises:
            TokenError: if it is neither the server's own nor a valid scoped one.
        """
        if self.is_own(text):
            return Grant(None)
        try:
            claims = jwt.decode(
                text, self._key, [_ALGORITHM], options={"require": ["exp", "iss", "scope"]}, issuer=_ISSUER
            )
            scope = Scope(claims["scope"])
        except jwt.ExpiredSignatureError as error:
            raise TokenError("This token has expired; ask for a new one (POST /api/tokens).") from error
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise TokenError(
                "This server asks for the token that it was started with, or one of POST /api/tokens."
            ) from error
        return Grant(scope, claims.get("session"))

    def is_own(self, text: str) -> bool:
        """Whether this is the server's own token."""
        return hmac.compare_digest(_raw(text), self._token)


def _raw(text: str) -> bytes:
    """Return the bytes of a header, also of one that is not UTF-8 (aiohttp keeps such bytes as surrogates)."""
    return text.encode(errors="surrogateescape")
