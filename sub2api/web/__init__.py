"""The Quart app: gateway routes, and later the JSON API and the console."""
