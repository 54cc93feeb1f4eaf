"""From a delivery to its hooks: accept, match, order, run, try again."""
