"""Certificates through the life of a cluster: what the operator brings, what hosts have taken up."""
