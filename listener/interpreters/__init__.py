"""The child interpreters that functions and plugins' tasks run in."""
