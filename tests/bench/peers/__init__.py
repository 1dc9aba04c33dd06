"""Gateways of the usual kind, to compare with."""
