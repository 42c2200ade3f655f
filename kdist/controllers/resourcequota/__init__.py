"""What a namespace uses of its quota."""
