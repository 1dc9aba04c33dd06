"""Outgoing HTTP: the relay's own pool, and httpx for everything else."""
