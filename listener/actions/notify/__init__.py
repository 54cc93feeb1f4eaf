"""The action that sends a notification to chats, mail and pagers, by Apprise."""
