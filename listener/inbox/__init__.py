"""What came in and is not in the journal yet."""
