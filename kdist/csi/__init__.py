"""csi-local: volumes that are directories on the node's own disk, over real CSI.

The driver (:mod:`driver`, :mod:`volumes`, :mod:`mounts`, :mod:`server`) knows CSI and
nothing of Kubernetes. The sidecar (:mod:`registrar`, :mod:`client`, :mod:`plan`, :mod:`provisioner`) knows Kubernetes
and speaks to the driver by CSI only. Both run on every node.
"""

DRIVER_NAME = "csi-local.kdist.io"
TOPOLOGY_KEY = "topology.csi-local.kdist.io/node"
