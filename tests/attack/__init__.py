"""Attacks on the filters, as long as wanted."""
