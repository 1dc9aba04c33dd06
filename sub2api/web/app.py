"""The Quart app: health, and every gateway route through its door. JSON only, never a page."""

from __future__ import annotations

from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from sub2api import __version__
from sub2api.gateway.pipeline import Pipeline
from sub2api.web.gateway.door import Door

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(pipeline: Pipeline) -> Quart:
    """Build the app around a running pipeline."""
    app = Quart(__name__, static_folder=None)
    # The door counts bytes and time itself, so that refusals are in the client's dialect.
    app.config.update(MAX_CONTENT_LENGTH=None, BODY_TIMEOUT=None, RESPONSE_TIMEOUT=None)
    door = Door(pipeline)

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

    @app.route("/", methods=["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    @app.route("/<path:_path>", methods=_METHODS, provide_automatic_options=False)
    async def gateway(_path: str = "") -> Response:
        return await door.open(request)

    @app.errorhandler(HTTPException)
    async def refuse(error: HTTPException) -> tuple[dict[str, object], int]:
        status = error.code or 500
        return {"error": {"message": error.name, "type": "invalid_request_error"}}, status

    return app
