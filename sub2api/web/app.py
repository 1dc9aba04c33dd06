"""The Quart app: health, and every gateway route through its door. JSON only, never a page."""

from __future__ import annotations

import hmac

from quart import Quart, Request, Response, request
from werkzeug.exceptions import HTTPException

from sub2api import __version__
from sub2api.gateway.client_address import is_trusted, networks_of
from sub2api.gateway.pipeline import Pipeline
from sub2api.monitoring.metrics import CONTENT_TYPE
from sub2api.web.admin.explain import explain_routes
from sub2api.web.gateway.door import Door

_LOOPBACK = networks_of(["127.0.0.0/8", "::1"])
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(pipeline: Pipeline) -> Quart:
    """Build the app around a running pipeline."""
    app = Quart(__name__, static_folder=None)
    # The door counts bytes and time itself, so that refusals are in the client's dialect.
    app.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
    door = Door(pipeline)

    _add_own_routes(app, pipeline)
    app.register_blueprint(explain_routes(pipeline.parts))

    @app.route("/", methods=["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    @app.route("/<path:_path>", methods=_METHODS, provide_automatic_options=False)
    async def gateway(_path: str = "") -> Response:
        return await door.open(request)

    @app.errorhandler(HTTPException)
    async def refuse(error: HTTPException) -> tuple[dict[str, object], int]:
        status = error.code or 500
        return {"error": {"message": error.name, "type": "invalid_request_error"}}, status

    return app


def _add_own_routes(app: Quart, pipeline: Pipeline) -> None:
    """What the gateway says about itself."""

    @app.route("/", methods=["GET", "HEAD"])
    async def root() -> dict[str, str]:
        return {"name": "sub2api", "version": __version__}

    @app.route("/health", methods=["GET", "HEAD"])
    async def health() -> dict[str, str]:
        """Liveness: this process answers."""
        return {"status": "ok"}

    @app.route("/ready", methods=["GET", "HEAD"])
    async def ready() -> tuple[dict[str, str], int]:
        """Readiness: the store answers too."""
        try:
            await pipeline.parts.database.data_version()
        except Exception:
            app.logger.exception("the store does not answer")
            return {"status": "store_unavailable"}, 503
        return {"status": "ok"}, 200

    @app.route("/metrics")
    async def metrics() -> Response:
        """Prometheus' numbers: for this machine, or whoever has the token."""
        if not _may_read_metrics(pipeline.parts.settings.server.metrics_token, request):
            return Response("metrics are for this machine, or need a token\n", 403)
        return Response(pipeline.parts.metrics.exposition(), content_type=CONTENT_TYPE)


def _may_read_metrics(token: str, asked: Request) -> bool:
    """With a token, whoever sends it; without one, this machine itself and nobody's proxy."""
    if token:
        sent = asked.headers.get("authorization", "")
        return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())
    direct = "x-forwarded-for" not in asked.headers and "forwarded" not in asked.headers
    return direct and is_trusted(asked.remote_addr or "", _LOOPBACK)
