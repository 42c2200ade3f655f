"""The local storage driver and its provisioner, over CSI."""
