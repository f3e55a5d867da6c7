"""What some stages share. What all of them need is in tasks/shared."""
