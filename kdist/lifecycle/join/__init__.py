"""How a host becomes a node: bootstrap tokens, what they may do, and how a host learns whom to trust.

:mod:`tokens` and :mod:`trust` are pure; :mod:`door` opens the cluster for hosts and closes it behind them;
:mod:`discovery` is the other side, on the host.
"""
