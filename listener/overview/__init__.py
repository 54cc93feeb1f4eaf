"""How things stand, looked at from outside: the listener, its journal, supervisord, the forwarder."""
