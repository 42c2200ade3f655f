"""Local storage: the claim is provisioned where its pod lands, outlives the pod, and goes with the claim."""

from tests.e2e.conftest import Cluster, eventually

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
"""


def pod(name: str, command: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: localhost/demo-web:0.1.0
      command: [sh, -c, '{command}']
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"""


def finish(cluster: Cluster, namespace: str, name: str, command: str) -> str:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=pod(name, command))
    cluster.kubectl(
        "wait", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=90s"
    )
    return cluster.kubectl("logs", "-n", namespace, name)


def test_data_outlives_the_pod_and_goes_with_the_claim(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=CLAIM)
    finish(cluster, namespace, "writer", "echo kept > /data/file")
    claim = cluster.get("pvc", "-n", namespace, "data")
    assert claim["status"]["phase"] == "Bound"
    writer = cluster.get("pod", "-n", namespace, "writer")["spec"]["nodeName"]
    cluster.kubectl("delete", "pod", "-n", namespace, "writer")
    assert finish(cluster, namespace, "reader", "cat /data/file") == "kept\n"
    assert cluster.get("pod", "-n", namespace, "reader")["spec"]["nodeName"] == writer

    volume = claim["spec"]["volumeName"]
    listing = f"find /var/lib/kdist/csi-local -name '*{volume}*' | head -1"
    assert cluster.ssh(writer, listing).strip()
    cluster.kubectl("delete", "pod", "-n", namespace, "reader")
    cluster.kubectl("delete", "pvc", "-n", namespace, "data")
    eventually(
        lambda: volume not in cluster.kubectl("get", "pv", "-o", "name"), 60, "the volume goes with the claim"
    )
    eventually(lambda: not cluster.ssh(writer, listing).strip(), 30, "its data goes too")
