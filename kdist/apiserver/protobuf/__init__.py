"""Bodies in Kubernetes' protobuf encoding, which kubectl and Go clients send for built-in types.

Answers are always JSON: every such client accepts it. ``fields.json`` has the wire format of the published
types, by message: number, JSON name (none for an inlined struct) and type of each field; ``[]`` repeats it,
``{}`` maps strings to it, a final ``?`` says that JSON omits the zero value.
"""

from kdist.apiserver.protobuf.decode import decode

__all__ = ["decode"]
