"""Volumes of pods: set up before the containers start, brought up to date, taken down at the end.

:class:`~kdist.agent.volumes.manager.Volumes` implements ``kdist.agent.interfaces.VolumeManager``. Nothing is
remembered in memory that a restart would lose: what is mounted is read from the disk and from the kernel.
"""
