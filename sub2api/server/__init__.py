"""How the process listens: Hypercorn, signals, drain."""
