"""Moving and resampling pixels."""
