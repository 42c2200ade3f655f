"""Control loops: one folder a controller, a pure plan and a thin reconciler."""
