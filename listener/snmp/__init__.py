"""SNMP: the Studio Conductor MIB, the encoding of its traps, and their way to and from the network."""
