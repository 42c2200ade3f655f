"""The address under which kubectl reaches whichever control plane is alive.

Every control-plane host runs one ``kdist vip``. Its own API server decides, by a Lease, which of them holds the
address: a host whose API server or etcd does not answer cannot renew and lets go. The address is put on the
interface with a lifetime no longer than the Lease, so the kernel takes it away when the process is killed and
before another host may have it. Components do not need it: they know every API server.
"""
