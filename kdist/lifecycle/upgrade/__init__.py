"""Moving a running cluster to another version, one host after the other, and back.

:mod:`plan` says what happens on which host (pure), :mod:`gates` what must hold before and after (pure), :mod:`drain`
empties a node within its budgets, :mod:`observe` looks at hosts and cluster, :mod:`apply` does the steps and writes the
journal, :mod:`rollback` is the way back. Only :mod:`start` knows all of them.
"""
