"""Filters as jobs that run beside the program: futures that can be awaited and really be cancelled."""
