"""OpenAI's Chat Completions wire, and Embeddings beside it."""
