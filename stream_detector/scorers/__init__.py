"""Back-ends that run the model, and the choice between them."""
