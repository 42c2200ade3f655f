"""The handlers of resource requests, by verb and subresource."""
