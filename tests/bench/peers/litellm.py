"""LiteLLM's proxy from PyPI, in a venv of its own below the build directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.machine import BUILD

PLACE = BUILD / "litellm"
CONFIG = """model_list:
  - model_name: claude-sonnet-4-5
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_base: http://{upstream}
      api_key: u
general_settings:
  master_key: {key}
litellm_settings:
  num_retries: 0
  telemetry: false
"""


def prepared(
    directory: Path, upstream: str, port: int, key: str
) -> tuple[list[str], dict[str, str]]:
    """Install LiteLLM if it is not yet, write its configuration; return command and environment."""
    program = PLACE / "bin" / "litellm"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True, capture_output=True)
        install = ["-m", "pip", "install", "--quiet", "litellm[proxy]"]
        subprocess.run([str(PLACE / "bin" / "python"), *install], check=True, capture_output=True)
    config = directory / "litellm.yaml"
    config.write_text(CONFIG.format(upstream=upstream, key=key))
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # Its own price table: a benchmark asks nothing of the network.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return [*command, "--num_workers", "1"], environment


def version() -> str:
    """Return the version that is installed."""
    command = [str(PLACE / "bin" / "python"), "-m", "pip", "show", "litellm"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("Version: ")]
    return lines[0].removeprefix("Version: ") if lines else "unknown"
