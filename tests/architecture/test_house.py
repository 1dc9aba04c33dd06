"""What the linters cannot say about the house."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "sub2api").rglob("*.py") if "versions" not in path.parts)
EVERYTHING = (
    SOURCES + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "tools").glob("*.py"))
)
MOST_LINES = 400
MOST_FUNCTION_LINES = 40
LONGER_TESTS = {"tests/journeys/test_recovery.py", "tests/journeys/test_sdks.py"}

COVERED_BY_JOURNEYS = {
    # Exercised over real sockets in tests/journeys, or by a neighbour's test.
    "sub2api/__main__.py",
    "sub2api/gateway/answer.py",
    "sub2api/gateway/attempts.py",
    "sub2api/gateway/call.py",
    "sub2api/gateway/credentials.py",
    "sub2api/gateway/departure.py",
    "sub2api/gateway/estimates.py",
    "sub2api/gateway/legs.py",
    "sub2api/gateway/metering.py",
    "sub2api/gateway/models.py",
    "sub2api/gateway/parts.py",
    "sub2api/gateway/pipeline.py",
    "sub2api/gateway/preparation.py",
    "sub2api/gateway/probe.py",
    "sub2api/gateway/relay.py",
    "sub2api/gateway/usage_report.py",
    "sub2api/gateway/walk.py",
    "sub2api/gateway/call_log.py",
    "sub2api/platforms/interface.py",
    "sub2api/platforms/model_lists.py",
    "sub2api/server/run.py",
    "sub2api/store/revisions.py",
    "sub2api/web/app.py",
    "sub2api/web/gateway/door.py",
    "sub2api/web/gateway/reply.py",
    "sub2api/wiring.py",
    "sub2api/upstream/catalogue.py",
    "sub2api/upstream/names.py",
}
SHARED_TESTS = {
    # One test file for all files of a folder that are one thing.
    "sub2api/protocols/messages": "tests/protocols/test_streams.py",
    "sub2api/protocols/chat": "tests/protocols/test_streams.py",
    "sub2api/protocols/responses": "tests/protocols/test_streams.py",
    "sub2api/protocols/gemini": "tests/protocols/test_streams.py",
    "sub2api/platforms/anthropic": "tests/platforms/test_requests.py",
    "sub2api/platforms/openai": "tests/platforms/test_requests.py",
    "sub2api/platforms/gemini": "tests/platforms/test_requests.py",
    "sub2api/model": "tests/model/test_nouns.py",
    "sub2api/demo": "tests/demo/test_upstream.py",
    "sub2api/live": "tests/live/test_contract.py",
    "sub2api/cli": "tests/cli/test_commands.py",
}
PURE_OR_SHARED = {
    "sub2api/errors.py",
    "sub2api/live/interfaces.py",
    "sub2api/protocols/interface.py",
    "sub2api/protocols/edits.py",
    "sub2api/protocols/openai_errors.py",
    "sub2api/protocols/openai_replies.py",
    "sub2api/protocols/openai_usage.py",
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    if name(path) in LONGER_TESTS:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.body[0].lineno + 1
            limit = MOST_FUNCTION_LINES if "sub2api" in path.parts[len(ROOT.parts)] else 60
            assert length <= limit, f"{node.name} has {length} lines"


def test_every_source_file_has_its_test() -> None:
    missing = []
    for path in SOURCES:
        source = name(path)
        shared = SHARED_TESTS.get(source.rpartition("/")[0])
        own = ROOT / "tests" / path.relative_to(ROOT / "sub2api").with_name(f"test_{path.stem}.py")
        skipped = source in COVERED_BY_JOURNEYS | PURE_OR_SHARED or path.stem in {"__init__", "env"}
        if shared and (ROOT / shared).exists():
            continue
        if not skipped and not own.exists():
            missing.append(source)
    assert missing == []


def test_the_list_of_exceptions_only_names_what_needs_it() -> None:
    for source in COVERED_BY_JOURNEYS:
        assert (ROOT / source).exists(), f"{source} is gone: take it off the list"
        own = source.replace("sub2api/", "tests/", 1)
        folder, _, file = own.rpartition("/")
        assert not (ROOT / folder / f"test_{file}").exists(), f"{source} has its test now"


def test_every_room_is_on_the_architecture_page() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    for path in (ROOT / "sub2api").iterdir():
        room = path.stem
        if path.name.startswith(("_", ".")) or path.suffix not in {"", ".py"}:
            continue
        assert f"`{room}`" in page, f"{room} is not in docs/architecture.md"


def test_both_readmes_have_the_same_headings_and_commands() -> None:
    english, chinese = (ROOT / "README.md").read_text(), (ROOT / "README_CN.md").read_text()
    blocks = [re.findall(r"```.*?```", text, re.DOTALL) for text in (english, chinese)]
    assert blocks[0] == blocks[1]
    levels = [re.findall(r"^#+", text, re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]
    endpoints = [re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE) for text in (english, chinese)]
    assert endpoints[0][:7] == endpoints[1][:7]


def test_every_migration_number_is_used_once() -> None:
    files = sorted((ROOT / "sub2api/store/migrations/versions").glob("m*.py"))
    numbers = [path.stem.split("_")[0] for path in files]
    assert files
    assert len(set(numbers)) == len(numbers)
