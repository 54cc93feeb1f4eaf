"""What came in and is not in the journal yet: files in the folder `inbox` of the state directory.

Owns the form of a record, the names of the files, their writers and their reader. It never runs a hook
and never opens the journal. supervisord's recorder and durable `emit` write; the listener alone reads.

There are two kinds of file. A growing file belongs to one process, which appends to it: supervisord's
recorder has one at a time. A whole file gets its name when all of it is on the disk, and never changes.
The number at the beginning of a name keeps the order in which files were begun.
"""
