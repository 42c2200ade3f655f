"""API priority and fairness: which request is served next when not all can be served at once.

``matching`` says which FlowSchema a request belongs to, ``estimate`` how many seats it takes, ``sharding`` which
queues its flow may use, ``queueset`` who goes next (pure, on an injected clock), ``allocation`` how priority
levels share seats, ``levels`` puts the stored configuration to work, ``gate`` is where requests wait, ``pace``
keeps one turn of the event loop short, ``defaults`` and ``maintenance`` keep the objects there must be.
"""

from kdist.apiserver.flowcontrol.gate import Admission, FlowGate, InflightGate, Unlimited, gate_of

__all__ = ["Admission", "FlowGate", "InflightGate", "Unlimited", "gate_of"]
