"""The care of etcd: who is a member, joining, leaving, snapshots, mending.

:mod:`etcdctl` runs the released tool on a control-plane host; everything that decides is pure and works on
:class:`members.Member`.
"""
