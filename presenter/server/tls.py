"""TLS of the server itself, where no reverse proxy terminates it."""

from __future__ import annotations

import ssl

from presenter.config import ServerConfig
from presenter.errors import ConfigError


def tls_context(server: ServerConfig) -> ssl.SSLContext | None:
    """Return the context with the configured certificate; None where none is configured.

    Raises:
        ConfigError: if the certificate or its key can't be used, or only one of them is configured.
    """
    cert, key = server.tls_cert, server.tls_key
    if not cert and not key:
        return None
    if not (cert and key):
        raise ConfigError("server.tls_cert, server.tls_key: expected both or none of them, got one")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password="")  # without one OpenSSL would ask in the terminal
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else f"OpenSSL: {error.reason or 'no PEM file'}"
        raise ConfigError(
            f"server.tls_cert ({cert}), server.tls_key ({key}): expected a certificate chain and its key without a"
            f" password, as PEM files, got none that can be used ({reason})"
        ) from error
    return context
