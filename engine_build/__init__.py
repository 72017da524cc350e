"""From a checkpoint to the model files the detector runs."""
