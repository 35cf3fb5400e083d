"""The folder of the page."""

from pathlib import Path


def web_folder() -> Path:
    """Return the folder of the page: `web`, beside `presenter` in a checkout and in a wheel alike."""
    return Path(__file__).resolve().parents[2] / "web"
