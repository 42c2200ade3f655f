"""Throw-away hosts on one machine: real systemd and sshd in containers, on a network of their own.

``plan`` (pure) says what a lab consists of; ``base`` builds the root file system all hosts share; ``hosts``
starts, breaks and removes hosts; ``supervisor`` is the process that keeps one host running.
"""
