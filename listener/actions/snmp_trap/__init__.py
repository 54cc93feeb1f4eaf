"""The built-in action that sends SNMP traps and informs."""
