"""`sub2api env`: exactly what to paste so that a tool talks to this gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from sub2api.cli.output import json_option, print_json
from sub2api.cli.workspace import Workspace, in_workspace, settings_of
from sub2api.errors import MistakeError

_TOOLS = ("claude-code", "codex", "gemini-cli", "opencode")
_SHELLS = ("bash", "fish", "powershell")


@click.command()
@click.argument("tool", type=click.Choice(_TOOLS))
@click.option("--shell", type=click.Choice(_SHELLS), default="bash", show_default=True)
@click.option("--key-name", help="Put this key's text in (by name or id).")
@click.option("--key", help="Put this text in.")
@click.option("--url", help="Where the gateway is reached; from the settings if not given.")
@json_option
@click.pass_context
def env(  # noqa: PLR0913  one parameter per option
    ctx: click.Context,
    tool: str,
    shell: str,
    key_name: str | None,
    key: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Print what connects a tool: shell lines, and a file's content where it needs one.

    Without --key or --key-name a placeholder stands where the key goes.

    Example: sub2api env claude-code --key-name laptop --shell fish
    """
    if key_name is not None:
        key = _text_of(ctx, key_name)
    base = (url or _own_url(ctx)).rstrip("/").removesuffix("/v1")
    variables, file = _wiring(tool, base, key or "sk-YOUR-KEY")
    if as_json:
        print_json({"variables": variables, "file": file[0], "content": file[1]})
        return
    if file[0]:
        click.echo(f"# {file[0]}:")
        click.echo(file[1].rstrip("\n"))
        click.echo("\n# and in your shell:")
    for name, value in variables.items():
        click.echo(_assignment(shell, name, value))


def _text_of(ctx: click.Context, name: str) -> str:
    async def work(workspace: Workspace) -> str:
        return await workspace.keys.reveal(name)

    return in_workspace(ctx, work)


def _own_url(ctx: click.Context) -> str:
    server = settings_of(ctx, run_mode="simple").server
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104  compared, not bound
    return f"http://{host}:{server.port}"


def _wiring(tool: str, base: str, key: str) -> tuple[dict[str, str], tuple[str, str]]:
    """Return environment variables, and a file's path and content ("" for none)."""
    match tool:
        case "claude-code":
            return {"ANTHROPIC_BASE_URL": base, "ANTHROPIC_AUTH_TOKEN": key}, ("", "")
        case "codex":
            return {"SUB2API_KEY": key}, ("~/.codex/config.toml", _codex(base))
        case "gemini-cli":
            variables = {"GOOGLE_GEMINI_BASE_URL": base, "GEMINI_API_KEY": key}
            chosen = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
            return variables, ("~/.gemini/settings.json", json.dumps(chosen, indent=2))
        case "opencode":
            return {"SUB2API_KEY": key}, ("opencode.json", _opencode(base))
        case _:
            pass
    raise MistakeError(f"unknown tool {tool!r}: one of {', '.join(_TOOLS)}")


def _codex(base: str) -> str:
    return f"""model = "gpt-5.1"
model_provider = "sub2api"

[model_providers.sub2api]
name = "sub2api"
base_url = "{base}/v1"
env_key = "SUB2API_KEY"
wire_api = "responses"
"""


def _opencode(base: str) -> str:
    def provider(package: str, version: str) -> Mapping[str, object]:
        options = {"baseURL": f"{base}/{version}", "apiKey": "{env:SUB2API_KEY}"}
        return {"npm": package, "options": options}

    providers = {
        "anthropic": provider("@ai-sdk/anthropic", "v1"),
        "openai": provider("@ai-sdk/openai", "v1"),
        "google": provider("@ai-sdk/google", "v1beta"),
    }
    schema = "https://opencode.ai/config.json"
    return json.dumps({"$schema": schema, "provider": providers}, indent=2)


def _assignment(shell: str, name: str, value: str) -> str:
    if shell == "powershell":
        quoted = value.replace("'", "''")
        return f"$env:{name} = '{quoted}'"
    quoted = value.replace("'", "'\\''")
    return f"set -gx {name} '{quoted}'" if shell == "fish" else f"export {name}='{quoted}'"
