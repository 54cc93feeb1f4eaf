"""The report: one page about a span of time, from the journal's entries to its HTML."""
