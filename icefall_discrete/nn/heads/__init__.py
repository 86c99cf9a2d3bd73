"""What stands on an encoder, or beside it."""
