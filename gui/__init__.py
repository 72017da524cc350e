"""The desktop window: one more consumer of the runtime's records."""
