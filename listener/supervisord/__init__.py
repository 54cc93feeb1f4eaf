"""What lives inside supervisord itself, on the Python that runs it: the recorder of its events."""
