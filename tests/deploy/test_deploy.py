"""What lies in deploy/ is what the program reads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sub2api.settings import all_keys, load
from tools.config_example import EXAMPLE, render

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ("docker-compose.yml", "docker-compose.local.yml")


def env_example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def service(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())["services"]["sub2api"]
    return loaded


def test_the_example_of_a_config_is_what_the_declarations_generate() -> None:
    assert EXAMPLE.read_text() == render(), "run python -m tools.config_example"


def test_the_example_taken_whole_is_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    lines = EXAMPLE.read_text().splitlines()[3:]
    file.write_text("\n".join(line.removeprefix("# ") for line in lines))
    whole, none = load(environ={}, config_file=file), load(environ={"RUN_MODE": "simple"})
    for part in ("server", "gateway", "security", "journal", "update", "log", "run_mode"):
        assert getattr(whole, part) == getattr(none, part)


@pytest.mark.parametrize("name", COMPOSE)
def test_every_key_of_the_env_example_is_read(name: str) -> None:
    text = (DEPLOY / name).read_text()
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    assert used == set(env_example())
    read_by_the_program = {key.env for key in all_keys()}
    assert set(service(name)["environment"]) <= read_by_the_program


def test_the_env_example_starts_the_program(tmp_path: Path) -> None:
    known = {key.env for key in all_keys()}
    given = {name: value for name, value in env_example().items() if name in known}
    settings = load(environ={**given, "RUN_MODE": "simple", "DATA_DIR": str(tmp_path)})
    assert settings.gateway.disconnect == "cancel"


@pytest.mark.parametrize("name", COMPOSE)
def test_a_container_is_closed_and_keeps_its_data(name: str) -> None:
    made = service(name)
    assert made["ports"] == ["${BIND_HOST:-127.0.0.1}:${PUBLISHED_PORT:-8080}:8080"]
    assert made["cap_drop"] == ["ALL"]
    assert made["read_only"] is True
    assert any(volume.endswith(":/app/data") for volume in made["volumes"])
    assert (
        int(made["stop_grace_period"].removesuffix("s"))
        > load(environ={"RUN_MODE": "simple"}).server.drain_seconds
    )


@pytest.mark.parametrize("name", COMPOSE)
def test_docker_compose_accepts_it(name: str) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("apt-get install docker-compose")
    command = ["docker-compose", "-f", str(DEPLOY / name), "config", "-q"]
    subprocess.run(command, check=True, capture_output=True)


def test_the_image_runs_as_nobody_special_from_files_that_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.index("USER sub2api") < text.index("ENTRYPOINT")
    assert "--require-hashes" in text
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", text):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            top = source.split("/")[0]
            assert f"!{top}" in (ROOT / ".dockerignore").read_text()
    for name in re.findall(r"\b([A-Z_]+)=", text.split("USER sub2api")[0].split("ENV PATH")[1]):
        assert name in {"PYTHONDONTWRITEBYTECODE"} | {key.env for key in all_keys()}


def deploy(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", DEPLOY / "docker-deploy.sh"], cwd=directory, text=True, check=False,
        env={**os.environ, "SUB2API_DEPLOY_URL": DEPLOY.as_uri()}, capture_output=True,
    )  # fmt: skip


def test_docker_deploy_prepares_a_directory_once(tmp_path: Path) -> None:
    first = deploy(tmp_path)
    assert first.returncode == 0, first.stderr
    (key,) = re.findall(
        r"(?m)^TOTP_ENCRYPTION_KEY=([0-9a-f]{64})$", (tmp_path / ".env").read_text()
    )
    assert key in first.stdout
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".env",
        "data",
        "docker-compose.yml",
    ]
    again = deploy(tmp_path)
    assert again.returncode == 1
    assert key in (tmp_path / ".env").read_text()


def test_shell_scripts_check_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("apt-get install shellcheck")
    scripts = [ROOT / "install.sh", DEPLOY / "docker-deploy.sh", ROOT / "systemd" / "launch"]
    subprocess.run(["shellcheck", "-s", "sh", *scripts], check=True)
