"""Build a release: `dist/releases/`, a directory that any web server can offer as it is.

    index.json                 the list of releases, in the form of GitHub's API
    vVERSION/sub2api-*.pyz     one file for each Python, system and machine
    vVERSION/sub2api-*.whl     for pipx and uv
    vVERSION/install.sh        with version and public keys in it
    vVERSION/launch, *.service what install.sh puts around it
    vVERSION/release.json      what there is
    vVERSION/checksums.txt     SHA-256 of all of them
    vVERSION/checksums.txt.sig its Ed25519 signature

make release KEY=path/to/private.pem [ARGS="--only here"]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sub2api import __version__  # noqa: E402
from sub2api.store.migrate import NEWEST  # noqa: E402
from sub2api.updates.signing import parse_keys  # noqa: E402
from tools.release_key import load, public_half  # noqa: E402
from tools.shipping.staging import KEYS, stage, wheel  # noqa: E402
from tools.shipping.targets import ALL, Target, here  # noqa: E402
from tools.zipapp import build  # noqa: E402

_OLDEST_SCHEMA = "0001"


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trusted_keys(key: Path, *, other: bool) -> str:
    """Return the public keys that go into the release. The signing key must be one of them."""
    public = public_half(load(key))
    text = (ROOT / KEYS).read_text(encoding="utf-8")
    if bytes.fromhex(public) in parse_keys(text):
        return text
    if not other:
        raise SystemExit(
            f"{KEYS} does not name this key's public half, so no installed release would accept "
            "what it signs. Add it there (tools/release_key.py), or say --other-key for a release "
            "of your own that trusts this key only."
        )
    return f"# The key of this build alone.\n{public}\n"


def manifest(version: str, channel: str, files: list[tuple[Target, Path]]) -> dict[str, Any]:
    """Return what goes into release.json."""
    artefacts = [
        {
            "name": path.name,
            "size": path.stat().st_size,
            "sha256": sha256(path),
            "python": target.python,
            "system": target.system,
            "machine": target.machine,
        }
        for target, path in files
    ]
    return {
        "version": version,
        "channel": channel,
        "schema": NEWEST,
        "minimum_schema": _OLDEST_SCHEMA,
        "untested": ["darwin"],
        "artefacts": artefacts,
    }


def write_installer(directory: Path, keys: str) -> None:
    """Write install.sh with the public keys in it: it is how a first release is verified."""
    text = (ROOT / "install.sh").read_text(encoding="utf-8")
    words = " ".join(key.hex() for key in parse_keys(keys))
    changed, count = re.subn(r'(?m)^RELEASE_KEYS="[^"]*"$', f'RELEASE_KEYS="{words}"', text)
    if count != 1:
        raise SystemExit("install.sh has no line RELEASE_KEYS=")
    (directory / "install.sh").write_text(changed, encoding="utf-8")
    (directory / "install.sh").chmod(0o755)


def sign(directory: Path, key: Path) -> None:
    """Write checksums.txt over everything in a directory, and its signature."""
    named = sorted(path for path in directory.iterdir() if not path.name.startswith("checksums"))
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in named)
    (directory / "checksums.txt").write_text(lines, encoding="ascii")
    (directory / "checksums.txt.sig").write_bytes(load(key).sign(lines.encode("ascii")))


def index(output: Path) -> None:
    """Write the list of all releases in a directory."""
    found = []
    for path in sorted(output.glob("v*/release.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        pre = about["channel"] == "edge"
        found.append({"tag_name": path.parent.name, "prerelease": pre, "draft": False})
    (output / "index.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Build and sign."""
    given = _arguments()
    version, output = given.version, given.output.resolve()
    keys = trusted_keys(given.key, other=given.other_key)
    targets = [here()] if given.only == "here" else list(ALL)
    directory = output / f"v{version}"
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="sub2api-stage-") as name:
        source = stage(Path(name), version, keys)
        own_wheel = wheel(source, Path(name) / "wheel")
        files = []
        for target in targets:
            path = directory / target.file(version)
            build(target, own_wheel, path)
            print(f"{path.name}  {path.stat().st_size / 1e6:.1f} MB", flush=True)
            files.append((target, path))
        shutil.copy(own_wheel, directory)
    about = json.dumps(manifest(version, given.channel, files), indent=1)
    (directory / "release.json").write_text(about + "\n", encoding="utf-8")
    for part in ("launch", "sub2api.service", "sub2api.socket", "sub2api.user.service"):
        shutil.copy(ROOT / "systemd" / part, directory)
    write_installer(directory, keys)
    sign(directory, given.key)
    index(output)
    print(f"{directory} is complete")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build and sign a release.")
    parser.add_argument("--key", type=Path, required=True, help="private key (PEM)")
    parser.add_argument("--other-key", action="store_true", help="trust this key alone")
    parser.add_argument("--version", default=__version__)
    parser.add_argument("--channel", choices=("stable", "edge"), default="stable")
    parser.add_argument("--only", choices=("here", "all"), default="all", help="which machines")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "releases")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
