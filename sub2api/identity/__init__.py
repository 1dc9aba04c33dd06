"""Who calls: API keys and their owners."""
