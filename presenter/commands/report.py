"""Printing of nested figures: as JSON, or indented, with a head line where rows have the same columns."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

_LABEL = 38  # columns
_VALUE = 11

Columns = tuple[str, ...]


def print_report(report: dict[str, Any], as_json: bool) -> None:
    """Print nested figures as JSON, or as an indented table."""
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print_rows(report, 0)


def _print_rows(rows: dict[str, Any], depth: int) -> None:
    for columns, found in groupby(rows.items(), key=lambda row: _columns(row[1])):
        group = list(found)
        if len(group) == 1 and "p50" not in columns:
            columns = ()
        if columns:
            print(f"{'':<{_LABEL}} " + " ".join(f"{name:>{max(_VALUE, len(name))}}" for name in columns))
        for name, value in group:
            if columns:
                figures = " ".join(f"{_shown(value[key]):>{max(_VALUE, len(key))}}" for key in columns)
                print(f"{'  ' * depth + name:<{_LABEL}} {figures}")
            elif isinstance(value, dict):
                print(f"{'  ' * depth}{name}")
                _print_rows(value, depth + 1)
            else:
                print(f"{'  ' * depth + name:<{_LABEL}} {_shown(value)}")


def _columns(value: Any) -> Columns:
    """The head line under which a row can be printed: the names of its figures, if it has nothing else."""
    is_row = isinstance(value, dict) and all(isinstance(figure, int | float) for figure in value.values())
    return tuple(value) if is_row else ()


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
