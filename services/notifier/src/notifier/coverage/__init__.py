"""What is missing for a critical problem to reach a person: said by an address, at the start, and by a metric with an alert."""
