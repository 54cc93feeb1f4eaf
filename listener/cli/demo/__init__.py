"""The verb `demo`, on parts of its own."""
