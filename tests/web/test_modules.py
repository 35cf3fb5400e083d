"""Runs the tests of the page's pure modules in Node."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node found (apt-get install nodejs)")
@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_module(file: str) -> None:
    run = subprocess.run(["node", "--test", file], cwd=HERE, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"# pass (\d+)|ℹ pass (\d+)", run.stdout)
    assert passed, run.stdout
    assert int(passed.group(1) or passed.group(2)) > 1
