"""Reading and judging request bodies: decoding, structure, metadata, names.

``decode`` turns bytes into an object, ``structure`` conforms it to its schema, ``metadata`` and ``names`` hold
the rules every object shares, ``causes`` words the refusals.
"""

from __future__ import annotations

from kdist.apiserver.validation.decode import decode, read_object
from kdist.apiserver.validation.metadata import validate_metadata, validate_metadata_update
from kdist.apiserver.validation.structure import conform

__all__ = ["conform", "decode", "read_object", "validate_metadata", "validate_metadata_update"]
