"""What the notifier does: take events in, send what is due, answer what people ask."""
