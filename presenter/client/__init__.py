"""A client for voice bots, importable with neither torch nor aiortc.

Holds the websocket and HTTP client of the speech protocol. Never holds anything of the server.
"""

from presenter.client.client import ClientError, PresenterClient, connect

__all__ = ["ClientError", "PresenterClient", "connect"]
