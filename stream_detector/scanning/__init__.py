"""Many recordings at once: which files, what each shows, and what may be said of it."""
