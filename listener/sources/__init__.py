"""Where notifications come from."""
