"""Text to typed objects: everything that a user writes is checked here, once."""
