"""ssh's way into a lab: open the TCP connection inside the lab's network namespace and hand it to ssh.

Used as ProxyCommand with ProxyUseFdpass, ``nsenter --net=/run/netns/NETNS python connect.py ADDRESS PORT``:
ssh receives the open socket on standard output and no process stays in between. Standard library only, and run
with ``-IS``, because it starts once per connection.
"""

from __future__ import annotations

import array
import socket
import sys

# As the operator's ssh gives a host; its ConnectTimeout does not reach into a ProxyCommand.
CONNECT_SECONDS = 10


def main() -> None:
    """Connect and pass the socket on. An error goes to standard error and ends with exit code 1."""
    address, port = sys.argv[1], int(sys.argv[2])
    try:
        connection = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    except OSError as error:
        sys.exit(f"{address} port {port}: {error.strerror or error}")
    connection.settimeout(None)  # ssh gets a blocking socket, as from a connect of its own
    with connection, socket.socket(fileno=sys.stdout.fileno()) as ssh:
        descriptors = array.array("i", [connection.fileno()]).tobytes()
        ssh.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])


if __name__ == "__main__":
    main()
