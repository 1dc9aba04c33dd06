"""Entry of `python -m sub2api`, of the console script and of the zipapp."""

from __future__ import annotations

from sub2api.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
