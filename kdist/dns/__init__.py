"""Cluster DNS: unbound answers, this package tells it what.

:mod:`records` turns Services, EndpointSlices and Pods into records, :mod:`zone` keeps them and yields differences,
:mod:`config` renders unbound's configuration (all three pure); :mod:`control` speaks to unbound,
:mod:`unbound` runs it as a child process, and :mod:`feeder` ties them together.
"""
