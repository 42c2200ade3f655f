"""StatefulSets: pods with names, in order, each with its own volumes."""
