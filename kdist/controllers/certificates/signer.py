"""Signs approved requests of the signers that Kubernetes itself has."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import CERTIFICATE_SIGNING_REQUESTS
from kdist.api.meta import Obj
from kdist.config.controller_manager import ControllerManagerSettings
from kdist.controllers.base import Controller
from kdist.controllers.certificates import request as requests
from kdist.controllers.certificates.authority import Authority, CannotSign, life_of
from kdist.telemetry import log

_log = log.get(__name__)
RETRY_SECONDS = 10.0


def files(settings: ControllerManagerSettings) -> dict[str, tuple[Path, Path]]:
    """Certificate and key of every signer that has them. ValueError when one is given without the other."""
    common = (settings.cluster_signing_cert_file, settings.cluster_signing_key_file)
    own = {
        requests.KUBELET_SERVING: (
            settings.cluster_signing_kubelet_serving_cert_file,
            settings.cluster_signing_kubelet_serving_key_file,
        ),
        requests.KUBELET_CLIENT: (
            settings.cluster_signing_kubelet_client_cert_file,
            settings.cluster_signing_kubelet_client_key_file,
        ),
        requests.KUBE_APISERVER_CLIENT: (
            settings.cluster_signing_kube_apiserver_client_cert_file,
            settings.cluster_signing_kube_apiserver_client_key_file,
        ),
        requests.LEGACY_UNKNOWN: (
            settings.cluster_signing_legacy_unknown_cert_file,
            settings.cluster_signing_legacy_unknown_key_file,
        ),
    }
    found: dict[str, tuple[Path, Path]] = {}
    if any(common) and any(any(pair) for pair in own.values()):
        raise ValueError("--cluster-signing-cert-file is not used together with the files of single signers")
    for signer, (certificate, key) in own.items():
        certificate, key = certificate or common[0], key or common[1]
        if (certificate is None) != (key is None):
            raise ValueError(f"signer {signer}: certificate and key file must be given together")
        if certificate is not None and key is not None:
            found[signer] = (certificate, key)
    return found


class CertificateSigner(Controller):
    """One key is one request. The authority is read when it is used: it may be exchanged."""

    name = "certificatesigningrequest-signing-controller"

    def setup(self) -> None:
        """Watch requests; a signer without files leaves its requests alone."""
        self._files = files(self.settings)
        self._longest = timedelta(seconds=self.settings.cluster_signing_duration)
        if not self._files:
            _log.warning("no certificate is signed: --cluster-signing-cert-file is not set")
            return
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS, self.enqueue)

    async def reconcile(self, key: str) -> float | None:
        """Sign an approved request, or say why it never will be."""
        csr = self._requests.get(key)
        if csr is None or meta.get(csr, "status.certificate"):
            return None
        signer = csr["spec"].get("signerName", "")
        waits = requests.is_true(csr, "Approved") and not requests.is_true(csr, "Failed")
        if signer not in self._files or not waits:
            return None
        try:
            parsed = requests.parse(csr)
            told = requests.fault(signer, parsed, requests.usages(csr))
            if told:
                await self._write(csr, _failed(csr, told))
                return None
            certificate = Authority.load(*self._files[signer]).sign(
                parsed,
                csr["spec"].get("usages") or (),
                life_of(csr["spec"].get("expirationSeconds"), self._longest),
                datetime.now(UTC),
            )
        except (CannotSign, OSError, ValueError) as error:
            _log.error("cannot sign a certificate", name=key, signer=signer, error=str(error))
            return RETRY_SECONDS
        await self._write(csr, {"certificate": base64.b64encode(certificate).decode()})
        return None

    async def _write(self, csr: Obj, status: Obj) -> None:
        changed = {**csr, "status": {**(csr.get("status") or {}), **status}}
        try:
            await self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="status")
        except (Conflict, NotFound):
            return  # the watch tells what is there now


def _failed(csr: Obj, message: str) -> Obj:
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "SignerValidationFailure",
        "message": message,
        "lastUpdateTime": meta.now(),
    }
    return {"conditions": [*meta.get(csr, "status.conditions", ()), condition]}
