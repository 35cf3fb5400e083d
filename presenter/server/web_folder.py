"""Where the page lies."""

from pathlib import Path


def web_folder() -> Path:
    """Return the folder of the page, which lies beside this package in a checkout and in a wheel alike."""
    return Path(__file__).resolve().parent.parent / "web"
