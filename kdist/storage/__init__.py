"""Where the API server keeps objects: one contract, an etcd and an in-process backend, a watch cache."""
