"""What runs inside a child interpreter: the standard library alone, Python 3.6 and later."""
