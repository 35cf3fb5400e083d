"""Which endpoints a list of targets lets through."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from stream.errors import StreamError, TargetError
from stream.rtc.whip_targets import TargetResolver, WhipTargets


@pytest.mark.parametrize(
    ("entry", "url", "passes"),
    [
        ("media.example", "https://media.example/whip", True),
        ("Media.Example.", "http://media.example.:8080/whip", True),
        ("media.example", "https://media.example.evil/whip", False),
        ("media.example", "https://evil/media.example", False),
        ("media.example", "https://media.example@evil/whip", False),
        ("media.example:8889", "http://media.example:8889/", True),
        ("media.example:8889", "http://media.example/", False),
        ("media.example:443", "https://media.example/", True),
        ("https://media.example/live", "https://media.example/live/one", True),
        ("https://media.example/live", "https://media.example/live", True),
        ("https://media.example/live", "https://media.example/lively", False),
        ("https://media.example/live", "https://media.example/live/../admin", False),
        ("https://media.example/live", "https://media.example/live/%2e%2e/admin", False),
        ("https://media.example/live", "http://media.example/live", False),
        ("https://media.example/live", "https://media.example:8443/live", False),
        ("127.0.0.1", "http://127.0.0.1:8889/whip", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:8889/whip", True),
        ("127.0.0.1", "http://localhost:8889/whip", False),
        ("127.0.0.1", "http://2130706433/whip", False),
        ("[fd00::1]:8889", "http://[fd00:0::1]:8889/whip", True),
        ("media.example", "ftp://media.example/whip", False),
        ("media.example", "file:///etc/passwd", False),
    ],
)
def test_a_url_is_covered_or_not(entry: str, url: str, passes: bool) -> None:
    targets = WhipTargets([entry])
    if passes:
        targets.check(URL(url))
    else:
        with pytest.raises(TargetError):
            targets.check(URL(url))


@pytest.mark.parametrize("entry", ["", "ftp://a", "a/b", "a:b", "https://", "https://u:p@a", "https://a?b", "[::1"])
def test_what_is_no_target_is_refused(entry: str) -> None:
    with pytest.raises(StreamError, match="whip_targets: expected HOST"):
        WhipTargets([entry])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
     "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "ff02::1", "::"],
)  # fmt: skip
def test_private_addresses_have_to_be_listed(address: str) -> None:
    with pytest.raises(TargetError):
        WhipTargets(["media.example"]).check_address(address, 80)
    bare = address.partition("%")[0]
    WhipTargets(["media.example", f"[{bare}]" if ":" in bare else bare]).check_address(address, 80)


def test_public_addresses_pass_and_localhost_is_named_by_its_name() -> None:
    WhipTargets(["media.example"]).check_address("93.184.215.14", 443)

    async def resolve() -> str:
        return (await TargetResolver(WhipTargets(["localhost"])).resolve("localhost", 80))[0]["host"]

    assert asyncio.run(resolve()) == "127.0.0.1"
