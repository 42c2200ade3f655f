"""What namespaces use of their ResourceQuotas."""
