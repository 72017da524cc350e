"""What is kept of a run as evidence: a log whose records hang on each other, pictures, original packets."""
