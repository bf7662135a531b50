"""Filters as background jobs: futures that can be awaited, and cancelled while they run."""
