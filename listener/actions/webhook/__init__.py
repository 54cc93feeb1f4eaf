"""The built-in action that sends a notification to a web server."""
