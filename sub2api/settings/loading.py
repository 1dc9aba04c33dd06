"""Reads the configuration: `config.yaml`, the environment, a command's own options.

Each beats the one before. A key `server.port` is `server: {port: ...}` in the file and SERVER_PORT
in the environment; a secret may also be in a file that NAME_FILE names. Nobody else reads the
environment. Every refusal is one sentence with key, value and rule, never with a secret's value.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import platformdirs
import yaml

from sub2api.errors import SettingsError
from sub2api.settings.keys import Database, Key, Settings, all_keys

_KEYS: dict[str, Key] = {each.path: each for each in all_keys()}


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as somebody wrote it, and where: for the sentence that refuses it."""

    value: Any
    source: str


def load(
    *,
    environ: Mapping[str, str] | None = None,
    config_file: Path | str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read the configuration.

    `environ` is the process's own when None. Without `config_file`, `config.yaml` is looked for in
    the data directory, `.`, `./config` and `/etc/sub2api`. `overrides` are a command's options by
    path; None values are no options. Raises SettingsError naming key, value and rule.
    """
    early = _of_environment(os.environ if environ is None else environ)
    early |= _of_overrides(overrides or {})
    file = _found(config_file, _data_dir(early))
    given = ({} if file is None else _of_file(file)) | early
    mode = _run_mode(given)
    values = {each.path: _value(each, given, mode) for each in _KEYS.values()}
    values |= {"run_mode": mode, "data_dir": _data_dir(given), "config_file": file}
    return _completed(_built(Settings, "", values))


def _of_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given = {}
    for each in _KEYS.values():
        value, source = environ.get(each.env, "").strip(), each.env
        named = environ.get(f"{each.env}_FILE", "").strip() if each.secret else ""
        if value and named:
            raise SettingsError(f"both {each.env} and {each.env}_FILE are set: keep one")
        if named:
            value, source = _of_secret_file(named, f"{each.env}_FILE"), f"{each.env}_FILE"
        if value:
            given[each.path] = _Given(value, source)
    return given


def _of_secret_file(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{variable} names {path}, which cannot be read: {reason}") from error


def _of_overrides(overrides: Mapping[str, object]) -> dict[str, _Given]:
    _refuse_unknown(overrides, "the command line")
    return {
        path: _Given(each, "the command line")
        for path, each in overrides.items()
        if each is not None
    }


def _found(config_file: Path | str | None, data_dir: Path) -> Path | None:
    if config_file is not None:
        return Path(config_file).absolute()
    places = (data_dir, Path(), Path("config"), Path("/etc/sub2api"))
    files = (place.absolute() / "config.yaml" for place in places)
    return next((file for file in files if file.is_file()), None)


def _of_file(file: Path) -> dict[str, _Given]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"config file {file} cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}" if mark else "somewhere"
        raise SettingsError(f"config file {file} is not YAML: {error.problem} in {place}") from None
    except yaml.YAMLError:
        raise SettingsError(f"config file {file} is not YAML") from None
    flat = dict(_flat(content, "", file))
    _refuse_unknown(flat, str(file))
    return {path: _Given(each, str(file)) for path, each in flat.items() if each not in (None, "")}


def _flat(node: Any, path: str, file: Path) -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value). A name that is no section is a leaf: it may be unknown."""
    if path in _KEYS or (path and not any(each.startswith(f"{path}.") for each in _KEYS)):
        yield path, node
        return
    if node is None:
        return
    if not isinstance(node, dict):
        raise SettingsError(f"{path or 'the whole file'} in {file} must be a section of keys")
    for name, child in node.items():
        yield from _flat(child, f"{path}.{name}" if path else str(name), file)


def _refuse_unknown(paths: Iterable[str], source: str) -> None:
    for path in paths:
        if path not in _KEYS:
            near = difflib.get_close_matches(path, _KEYS, n=1, cutoff=0)
            raise SettingsError(f"unknown key {path} in {source}; the nearest is {near[0]}")


def _data_dir(given: Mapping[str, _Given]) -> Path:
    if "data_dir" in given:
        return Path(_read(_KEYS["data_dir"], given["data_dir"]))
    return Path(platformdirs.user_data_dir("sub2api", appauthor=False))


def _run_mode(given: Mapping[str, _Given]) -> str:
    if "run_mode" in given:
        return str(_read(_KEYS["run_mode"], given["run_mode"]))
    if any(path.startswith(("database.", "redis.")) for path in given):
        return "full"
    raise SettingsError(
        "run_mode is not set: run `sub2api setup`, or set RUN_MODE to simple or full"
    )


def _value(each: Key, given: Mapping[str, _Given], mode: str) -> Any:
    if each.path in given:
        return _read(each, given[each.path])
    return each.presets.get(mode, each.default)


def _read(each: Key, given: _Given) -> Any:
    try:
        return each.kind.read(given.value)
    except (ValueError, TypeError, KeyError):
        value = "" if each.secret else f" is {given.value!r} and"
        rule = f"{each.path}{value} must be {each.kind.rule} (set in {given.source})"
        raise SettingsError(rule) from None


def _built(of: type, prefix: str, values: Mapping[str, Any]) -> Any:
    parts = {}
    for field in dataclasses.fields(of):
        path = prefix + field.name
        nested = field.metadata.get("section")
        parts[field.name] = _built(nested, f"{path}.", values) if nested else values[path]
    return of(**parts)


def _completed(settings: Settings) -> Settings:
    """Check what spans keys, and fill in the URLs that follow from others."""
    simple = settings.run_mode == "simple"
    if simple and settings.server.mode == "release" and not settings.simple_mode_confirm:
        raise SettingsError(
            "run_mode simple with server.mode release charges nobody and serves one process: "
            "set SIMPLE_MODE_CONFIRM=true if that is meant"
        )
    journal = settings.journal
    if journal.max_total_bytes < 2 * journal.max_segment_bytes:
        raise SettingsError("journal.max_total_bytes must be at least twice max_segment_bytes")
    if settings.database.url:
        return settings
    url = (
        f"sqlite:///{settings.data_dir / 'sub2api.db'}" if simple else _postgres(settings.database)
    )
    return dataclasses.replace(settings, database=dataclasses.replace(settings.database, url=url))


def _postgres(parts: Database) -> str:
    password = f":{quote(parts.password, safe='')}" if parts.password else ""
    login = f"{quote(parts.user, safe='')}{password}"
    rest = f"{quote(parts.dbname, safe='')}?sslmode={parts.sslmode}"
    if parts.host.startswith("/"):  # the directory of a socket
        return f"postgresql://{login}@/{rest}&host={quote(parts.host)}&port={parts.port}"
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return f"postgresql://{login}@{host}:{parts.port}/{rest}"
