"""hooks.conf: from its text to the hooks that match."""
