"""The WHIP publications of one session (RFC 9725): at most as many as the configuration allows."""

import asyncio
import secrets

from presenter.errors import CapacityError, PublicationNotFoundError, PublishError, PublishTargetError
from stream.errors import StreamError, TargetError
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import PeerConfig
from stream.rtc.whip import WhipPublisher
from stream.rtc.whip_targets import WhipTargets


class Publications:
    """Publishers by their ids."""

    def __init__(self, hub: EncoderHub, peer_config: PeerConfig, targets: WhipTargets, limit: int) -> None:
        """Publish nothing yet.

        Args:
            hub: what is published.
            peer_config: codec, bitrates and ICE servers.
            targets: where it may be published.
            limit: publications at a time, those still connecting included.
        """
        self._hub = hub
        self._peer_config = peer_config
        self._targets = targets
        self._limit = limit
        self._publishers: dict[str, WhipPublisher] = {}

    def __len__(self) -> int:
        return len(self._publishers)

    async def add(self, url: str, token: str | None) -> str:
        """Publish to a media server; returns the publication's id.

        Raises:
            CapacityError: if there are too many.
            PublishTargetError: if the server is not listed in the configuration.
            PublishError: if the server can't be reached or refuses.
        """
        if not self._targets:
            raise PublishTargetError("Publishing is off: list the media servers in server.whip_targets to allow it.")
        if len(self._publishers) >= self._limit:
            raise CapacityError(
                f"This session is published {self._limit} times; server.max_publications allows no more."
            )
        publication_id = secrets.token_urlsafe(12)
        self._publishers[publication_id] = publisher = WhipPublisher(self._hub, self._targets, self._peer_config)
        try:
            await publisher.publish(url, token)
        except TargetError as error:
            raise PublishTargetError(f"{error}; the setting server.whip_targets lists them.") from error
        except StreamError as error:
            raise PublishError(str(error)) from error
        finally:
            if publisher.closed.is_set():
                self._publishers.pop(publication_id, None)
        return publication_id

    async def remove(self, publication_id: str) -> None:
        """End a publication.

        Raises:
            PublicationNotFoundError: if there is none of this id.
        """
        publisher = self._publishers.pop(publication_id, None)
        if publisher is None:
            raise PublicationNotFoundError("There is no such publication; it may have ended.")
        await publisher.close()

    def forget_ended(self) -> None:
        """Drop publications that their server has ended."""
        self._publishers = {key: one for key, one in self._publishers.items() if not one.closed.is_set()}

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(one.close() for one in self._publishers.values()))
