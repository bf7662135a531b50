"""Alpha channels: separated from colours, and as weights of colours."""
