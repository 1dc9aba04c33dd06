"""Log lines: one per event, fields after it, nothing that breaks a line."""

from __future__ import annotations

import logging

import pytest

from sub2api.server.logs import LineFormatter, configure


def line(message: str, **fields: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 0.0, **fields})
    return LineFormatter().format(record)


def test_a_line_has_time_level_event_and_fields() -> None:
    said = line("call", call="req_1", status=200, error="", took=None)
    assert said == "1970-01-01T00:00:00.000Z INFO call call=req_1 status=200"


def test_values_cannot_forge_lines_or_fields() -> None:
    said = line("a\nb", error='x\ny z="1"')
    assert "\n" not in said
    assert 'error="x\\ny z=\\"1\\""' in said


def test_a_traceback_follows_its_line() -> None:
    try:
        raise ValueError("broken")  # noqa: TRY301  the traceback is what is tested
    except ValueError as error:
        said = line("failed", exc_info=(ValueError, error, error.__traceback__))
    assert said.splitlines()[0].endswith("failed")
    assert "ValueError: broken" in said


def test_logs_go_to_standard_error_from_their_level_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure("warning")
        logging.getLogger("sub2api.test").info("quiet")
        logging.getLogger("sub2api.test").warning("loud")
    finally:
        root.handlers[:], root.level = handlers, level
    assert "loud" in capsys.readouterr().err
