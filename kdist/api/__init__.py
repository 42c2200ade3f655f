"""The Kubernetes API as data: resources, metadata, quantities, selectors, patches, errors. No I/O."""
