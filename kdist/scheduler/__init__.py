"""The scheduler: chooses a node for every pod that has none.

``loop`` takes pods from the ``queue``, the ``framework`` runs the ``plugins`` over the ``cache``, ``apply`` writes
the result. Nodes are columns (``nodetable``), so that a plug-in judges all of them at once.
"""
