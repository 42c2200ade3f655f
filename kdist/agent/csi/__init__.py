"""The node's side of the Container Storage Interface: drivers that register, volumes staged and published."""
