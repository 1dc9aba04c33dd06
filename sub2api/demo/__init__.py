"""A scripted vendor: what `--demo` starts and what the tests run against."""
