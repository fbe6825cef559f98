"""The providers: each turns a message into its own mark-up, calls, and says what became of it."""
