"""Encryption at rest: values as upstream's API server writes and reads them, byte for byte.

A value begins with ``k8s:enc:PROVIDER:v1:KEY:``. Which providers hold for a resource is told by an
EncryptionConfiguration (:mod:`.configuration`); :mod:`.storage` puts them around any storage backend.
"""

from kdist.storage.encryption.configuration import ConfigurationError, load
from kdist.storage.encryption.storage import EncryptedStorage
from kdist.storage.encryption.transformers import PluginError, Transformer, Transformers

__all__ = ["ConfigurationError", "EncryptedStorage", "PluginError", "Transformer", "Transformers", "load"]
