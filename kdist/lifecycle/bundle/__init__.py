"""The bundle: everything an install needs in one directory, so that hosts need no uplink.

``build`` composes it from ``apt`` (Debian packages), ``wheels`` and ``site`` (Python), and ``images`` (OCI);
``manifest`` describes and verifies it; ``load`` brings its images into a host's containerd.
"""
