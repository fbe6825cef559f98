"""What links in messages open until the console stands: plain pages of what the notifier itself knows, and the runbooks."""
