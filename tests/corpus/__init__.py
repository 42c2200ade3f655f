"""Requests and the answers upstream's API server gives to them: the measure of every resource's rules.

``cases/`` holds what we send, one YAML file per resource plus ``scenarios/`` of several steps; ``expected/`` what
upstream 1.32.13 answered, as :mod:`tests.corpus.facts` keeps it. ``record.py`` writes the latter from any server;
``tests/unit/apiserver/test_corpus.py`` asks ours and shows what differs.
"""
