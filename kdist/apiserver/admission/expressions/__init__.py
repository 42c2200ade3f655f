"""Expressions (CEL) about admission requests: what policies and the match conditions of webhooks have in common.

``declared`` says what such expressions may name, ``subject`` gives the names their values for a request,
``conditions`` decides by conditions whether a policy or a hook concerns a request.
"""
