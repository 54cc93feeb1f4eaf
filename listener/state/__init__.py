"""The state directory and what is kept in it: the lock and the journal."""
