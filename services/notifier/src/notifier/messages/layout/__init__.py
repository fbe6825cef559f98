"""How a document becomes the text of one channel, and how much of it fits into one message."""
