"""The people whom the notifier knows: who they are in each channel, what they may do, whom to phone."""
