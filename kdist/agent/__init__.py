"""The node agent (kubelet): pods from files and from the API become containers through CRI."""
