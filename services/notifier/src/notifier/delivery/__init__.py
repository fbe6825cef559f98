"""From a stored notice to a message that a provider took: queue, limits, retries, digests, edits, fail-over."""
