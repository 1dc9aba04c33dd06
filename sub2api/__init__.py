"""Sub2API: an AI API gateway in one file."""

__version__ = "0.1.0"
