"""This node's own certificates: asked for, kept on disk, renewed before they end, without a restart.

:mod:`plan` judges (pure), :mod:`x509` does the cryptography in a process of its own, :mod:`requests` asks the API,
:mod:`keeper` keeps one certificate, :mod:`identity` puts both of a node together. Keys never leave the host.
"""
