"""The scheduler: a framework of small plug-ins over a node table."""
