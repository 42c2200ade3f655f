"""kubectl's streaming commands against real containers; the others are tested without hosts in tests/integration."""

import subprocess
import time

from tests.e2e.conftest import Cluster, eventually

POD = """
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: localhost/demo-web:0.1.0
      command: [sh, -c, 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done']
    - name: web
      image: localhost/demo-web:0.1.0
    - name: reader
      image: localhost/demo-web:0.1.0
      command: [cat]
      stdin: true
      tty: false
"""


def start(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=POD)
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/shell", "--timeout=60s")


def test_logs_exec_attach_port_forward_and_cp(cluster: Cluster, namespace: str, tmp_path) -> None:
    start(cluster, namespace)
    here = ["-n", namespace]

    def tail() -> str:
        return cluster.kubectl("logs", *here, "shell", "-c", "main", "--tail=3")

    eventually(lambda: len(tail().splitlines()) == 3, 10, "the last three lines")
    follow = subprocess.run(
        ["timeout", "2", *cluster.kubectl_command(), "logs", *here, "-f", "shell", "-c", "main", "--tail=1"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert len(follow.splitlines()) > 4, "logs -f goes on while the container writes"

    assert cluster.kubectl(
        "exec", *here, "-i", "shell", "-c", "main", "--", "cat", input="over and back"
    ) == ("over and back")
    failed = subprocess.run(
        [
            *cluster.kubectl_command(),
            "exec",
            *here,
            "shell",
            "-c",
            "main",
            "--",
            "sh",
            "-c",
            "echo no >&2; exit 3",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 3
    assert "no\n" in failed.stderr
    terminal = [*cluster.kubectl_command(), "exec", *here, "-it", "shell", "-c", "main", "--", "tty"]
    typed = subprocess.run(
        ["script", "-qec", " ".join(terminal), "/dev/null"], capture_output=True, text=True, check=False
    )
    assert "/dev/pts/" in typed.stdout

    attach = [*cluster.kubectl_command(), "attach", *here, "-i", "-q", "shell", "-c", "reader"]
    # The input stays open until the answer is here: what is still on its way when it closes may be lost.
    with subprocess.Popen(attach, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attached:
        assert attached.stdin and attached.stdout
        attached.stdin.write("echoed\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "echoed\n"
        attached.stdin.close()
        attached.terminate()

    source = tmp_path / "file.bin"
    source.write_bytes(bytes(range(256)) * 4096)
    cluster.kubectl("cp", *here, "-c", "main", str(source), "shell:/tmp/file.bin")
    cluster.kubectl("cp", *here, "-c", "main", "shell:/tmp/file.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()

    forward = subprocess.Popen(
        [*cluster.kubectl_command(), "port-forward", *here, "pod/shell", "18080:8080"],
        stdout=subprocess.DEVNULL,
    )
    try:
        body = eventually(lambda: cluster.http("http://127.0.0.1:18080"), 15, "the forwarded port answers")
        assert "shell" in body
    finally:
        forward.terminate()
        forward.wait(10)


def test_pod_environment_files_and_token(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=colour=blue")
    cluster.kubectl("create", "-n", namespace, "secret", "generic", "hidden", "--from-literal=word=open")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=EVERYTHING)
    cluster.kubectl(
        "wait", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", "pod/all", "--timeout=60s"
    )
    said = dict(line.split("=", 1) for line in cluster.kubectl("logs", "-n", namespace, "all").splitlines())
    assert said["COLOUR"] == "blue"
    assert said["WORD"] == "open"
    assert said["NAME"] == "all"
    assert said["LIMIT"] == "67108864"
    assert said["BOTH"] == "blue-open"
    assert said["FILE"] == "blue"
    assert said["INIT"] == "was here"
    assert said["LABEL"] == 'tier="gold"'
    assert said["TOKEN"].startswith("eyJ")


EVERYTHING = """
apiVersion: v1
kind: Pod
metadata: {name: all, labels: {tier: gold}}
spec:
  restartPolicy: Never
  initContainers:
    - name: first
      image: localhost/demo-web:0.1.0
      command: [sh, -c, echo was here > /scratch/init]
      volumeMounts: [{name: scratch, mountPath: /scratch}]
  containers:
    - name: main
      image: localhost/demo-web:0.1.0
      command:
        - sh
        - -c
        - |
          echo COLOUR=$COLOUR; echo WORD=$WORD; echo NAME=$NAME; echo LIMIT=$LIMIT; echo BOTH=$BOTH
          echo FILE=$(cat /settings/colour); echo INIT=$(cat /scratch/init); echo LABEL=$(cat /info/labels)
          echo TOKEN=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)
      resources: {limits: {memory: 64Mi}}
      env:
        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
        - {name: WORD, valueFrom: {secretKeyRef: {name: hidden, key: word}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
        - {name: BOTH, value: $(COLOUR)-$(WORD)}
      volumeMounts:
        - {name: scratch, mountPath: /scratch}
        - {name: settings, mountPath: /settings}
        - {name: info, mountPath: /info}
  volumes:
    - {name: scratch, emptyDir: {}}
    - {name: settings, configMap: {name: settings}}
    - {name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
"""


def test_crash_loop_backs_off_and_memory_limit_kills(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "run", "-n", namespace, "crash", "--image=localhost/demo-web:0.1.0", "--command", "--", "false"
    )
    hungry = "--overrides=" + (
        '{"spec":{"containers":[{"name":"hungry","image":"localhost/demo-web:0.1.0",'
        '"command":["sh","-c","tail /dev/zero"],"resources":{"limits":{"memory":"16Mi"}}}],"restartPolicy":"Never"}}'
    )
    cluster.kubectl("run", "-n", namespace, "hungry", "--image=localhost/demo-web:0.1.0", hungry)

    def state(name: str) -> dict:
        statuses = cluster.get("pod", "-n", namespace, name)["status"].get("containerStatuses") or [{}]
        return statuses[0]

    eventually(
        lambda: state("crash").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        60,
        "back-off",
    )
    eventually(
        lambda: state("hungry").get("state", {}).get("terminated", {}).get("reason") == "OOMKilled",
        60,
        "OOM kill",
    )


def test_graceful_termination_lets_the_container_finish(cluster: Cluster, namespace: str) -> None:
    script = "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done"
    cluster.kubectl(
        "run",
        "-n",
        namespace,
        "slow",
        "--image=localhost/demo-web:0.1.0",
        "--command",
        "--",
        "sh",
        "-c",
        script,
    )
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/slow", "--timeout=30s")
    began = time.monotonic()
    cluster.kubectl("delete", "-n", namespace, "pod", "slow")
    assert 1.8 < time.monotonic() - began < 15


def test_a_pod_runs_on_a_node_that_was_labelled_just_before(cluster: Cluster, namespace: str) -> None:
    """The scheduler has seen the label; the agent must not refuse the pod for having an older view of its node."""
    pod = """
apiVersion: v1
kind: Pod
metadata: {name: picky}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {freshly: labelled}
  containers: [{name: web, image: 'localhost/demo-web:0.1.0'}]
"""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=pod)
    cluster.kubectl("label", "node", "w1", "freshly=labelled")
    try:
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/picky", "--timeout=30s")
    finally:
        cluster.kubectl("label", "node", "w1", "freshly-")
