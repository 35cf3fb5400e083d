"""The dialog that renames and deletes the user's own presenters, in a real browser on real folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from presenter.runtime.identities import shipped_dir


def test_renames_deletes_after_asking_and_shows_the_damaged(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    own = tmp_path / "presenters"
    for name in ("Anna", "Bad"):
        shutil.copytree(shipped_dir() / "default", own / name)
    (own / "Bad" / "identity.safetensors").write_bytes(b"not a presenter")
    with serve() as server:
        page = open_page(browser, server.url)
        page.click("#manage")
        damaged = page.locator("#gallery-list li", has_text="Damaged:")
        assert "Bad" in damaged.text_content()
        page.fill("[aria-label='Name of Anna']", "Berta")
        page.click("[aria-label='Rename Anna']")
        page.wait_for_selector("[aria-label='Name of Berta']")
        assert (own / "Berta").is_dir()
        assert not (own / "Anna").exists()
        page.click("[aria-label='Delete Berta']")
        page.click("#confirm button:text('Keep')")
        assert (own / "Berta").is_dir()
        page.click("[aria-label='Delete Berta']")
        page.click("#confirm button:text('Delete')")
        page.wait_for_selector("[aria-label='Delete Berta']", state="detached")
        assert not (own / "Berta").exists()
        page.click("[aria-label='Delete Bad']")
        page.click("#confirm button:text('Delete')")
        page.wait_for_selector("#gallery", state="hidden")
        assert list(own.glob("[!.]*")) == []
