"""The values that every other package works with: notifications, deliveries, entries, outcomes."""
