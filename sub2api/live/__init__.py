"""What does not survive a restart: slots and other shared, short-lived state."""
