"""The service proxy: Services and EndpointSlices become nftables maps."""
