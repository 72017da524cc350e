"""Where pictures come from: addresses, and what turns them into frames."""
