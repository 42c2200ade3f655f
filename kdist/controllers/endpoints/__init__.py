"""Which pods are behind a Service: EndpointSlices and Endpoints."""
