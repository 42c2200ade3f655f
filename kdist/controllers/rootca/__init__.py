"""The CA bundle that pods trust, in every namespace."""
