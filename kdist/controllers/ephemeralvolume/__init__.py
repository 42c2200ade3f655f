"""Claims that come and go with their pod."""
