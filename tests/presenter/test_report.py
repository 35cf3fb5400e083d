"""The printed report has a head line over rows that share their columns."""

from __future__ import annotations

import json

import pytest

from presenter.commands.report import print_report

TIMES = {"min": 1.0, "p50": 2.0, "p95": 12.3456}


def test_rows_of_percentiles_have_a_head_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_report({"stages": {"one": TIMES, "two": TIMES, "other": 3}, "alone": TIMES, "facts": {"a": 1, "b": 2}}, False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    head, row = ["min", "p50", "p95"], ["1", "2", "12.35"]
    expected = [["stages"], head, ["one", *row], ["two", *row], ["other", "3"], head, ["alone", *row]]
    assert lines == [*expected, ["facts"], ["a", "1"], ["b", "2"]]


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    print_report({"alone": TIMES}, True)
    assert json.loads(capsys.readouterr().out) == {"alone": TIMES}
