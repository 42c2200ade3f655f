"""Why a container ended, in its own words: the termination message file, or the end of its log."""

from __future__ import annotations

from pathlib import Path

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import labels

MAX_MESSAGE = 4096
MAX_LOG_BYTES = 2048
MAX_LOG_LINES = 80


def termination_message(status: pb.ContainerStatus) -> str:
    """The message of a container that ended; the runtime's own when the container left none."""
    path = status.annotations.get(labels.MESSAGE_PATH)
    file = next((m.host_path for m in status.mounts if m.container_path == path), "")
    text = _head(Path(file)) if file else ""
    fall_back = status.annotations.get(labels.MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not text and fall_back and status.exit_code != 0:
        text = log_tail(Path(status.log_path))
    return "\n".join(part for part in (text, status.message) if part)


def _head(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_MESSAGE).decode(errors="replace")
    except OSError:
        return ""  # Removed with the pod's directory: there is nothing to tell any more.


def log_tail(file: Path) -> str:
    """The last lines of a log in the runtime's format, without their prefixes."""
    try:
        with file.open("rb") as stream:
            stream.seek(0, 2)
            # Each line carries about 40 bytes of time and tag before its text.
            stream.seek(max(0, stream.tell() - MAX_LOG_BYTES - 64 * MAX_LOG_LINES))
            raw = stream.read().decode(errors="replace")
    except OSError:
        return ""
    text = ""
    for line in raw.splitlines()[-MAX_LOG_LINES:]:
        words = line.split(" ", 3)
        if len(words) == 4:
            text += words[3] + ("\n" if words[2].startswith("F") else "")
    return text[-MAX_LOG_BYTES:]
