"""The tests, and the command that runs them: `python -m tests`."""

SHARED = "CONDUCTOR_HOOKS_TEST_SHARED"
"""Names a folder, for what all parts of the suite use and one of them makes."""
