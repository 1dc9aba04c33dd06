"""Front door of the AI routes under any ASGI server."""
