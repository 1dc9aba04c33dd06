"""What answers: accounts, groups, proxies and which of them exist right now."""
