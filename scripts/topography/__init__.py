"""Solutions of neural networks found by SGD and L-BFGS, and the loss landscape between them."""
