"""The IPAddress objects of Services, from API level 1.33 on: what the claims say, for everybody to read.

They are companion keys of the Services' writes as the claims are, so both say the same. A server of an earlier level
writes claims only; :mod:`kdist.apiserver.serviceranges` adds what is missing.
"""

from __future__ import annotations

import ipaddress
import uuid

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.storage import body

PREFIX = "/registry/ipaddresses/"
FAMILY = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"


def key(address: str) -> str:
    """The storage key of an address' object."""
    return PREFIX + address


def address_object(address: str, service: Obj) -> Obj:
    """The IPAddress that a Service holds."""
    return {
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": address,
            "labels": {FAMILY: f"IPv{ipaddress.ip_address(address).version}", MANAGED_BY: MANAGER},
        },
        "spec": {
            "parentRef": {
                "resource": "services",
                "namespace": meta.namespace(service),
                "name": meta.name(service),
            }
        },
    }


def value(address: str, service: Obj) -> bytes:
    """The object as it is stored with the Service."""
    obj = address_object(address, service)
    obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": meta.now()}
    return body.encode(obj)
