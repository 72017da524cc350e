"""The desktop window (not built yet)."""
