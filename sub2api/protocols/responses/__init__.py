"""OpenAI's Responses wire."""
