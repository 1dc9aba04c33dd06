"""Prices, cost, and the journal and ledger that make money exact."""
