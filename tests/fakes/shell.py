"""The command line as a person and as a script use it, on one data directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from sub2api.cli import cli


class Shell:
    """Runs commands on one data directory, without the machine's own configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {"DATA_DIR": str(directory), "RUN_MODE": ""}

    def __call__(self, *arguments: str, given: str | None = None) -> Result:
        """Run a command; `given` is what it may read."""
        return CliRunner().invoke(cli, arguments, input=given, env=self.environ)

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed; return what it printed for scripts."""
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)
