"""One pod's life on this node: what is desired, what is observed, the plan between them and its worker."""
