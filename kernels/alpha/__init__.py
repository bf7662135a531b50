"""Alpha channels: kept apart, and as weights of colours."""
