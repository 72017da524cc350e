"""Where records go: JSON lines, a terminal."""
