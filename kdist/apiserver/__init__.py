"""The API server: a raw ASGI application for resources under a FastAPI application for the periphery."""
