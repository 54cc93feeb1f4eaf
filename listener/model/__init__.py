"""What the other rooms talk about: notifications, deliveries, entries, outcomes."""
