"""Asking the running gateway what only it knows: loads, queues, sessions."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from sub2api.cli.workspace import Workspace
from sub2api.errors import MistakeError
from sub2api.identity.operator_tokens import OperatorTokens

_PATIENCE_SECONDS = 10.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  where it listens, to where it is reached


def ask(workspace: Workspace, path: str, query: Mapping[str, str]) -> Any:
    """Return the data of the gateway's answer to a GET. Blocks.

    Raises MistakeError when it does not run here, or says no.
    """
    server = workspace.settings.server
    host = _ANYWHERE.get(server.host, server.host)
    token = OperatorTokens(workspace.sealer, workspace.clock).new()
    connection = http.client.HTTPConnection(host, server.port, timeout=_PATIENCE_SECONDS)
    try:
        headers = {"authorization": f"Bearer {token}"}
        connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
        response = connection.getresponse()
        answer = msgspec.json.decode(response.read())
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise MistakeError(
            f"no gateway answers on {host}:{server.port}, and only a running one knows this: "
            "sub2api serve"
        ) from error
    finally:
        connection.close()
    if not isinstance(answer, dict) or "code" not in answer:
        raise MistakeError(
            f"what answers on {host}:{server.port} is not this gateway: look at SERVER_PORT"
        )
    if answer["code"] != 0:
        raise MistakeError(str(answer.get("message")))
    return answer["data"]
