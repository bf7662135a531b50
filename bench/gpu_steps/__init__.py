"""The steps of ``bench/gpu.py``, one module each, in the order in which they run.

Each has a function ``cases(setting)`` that lists `running.Case` objects. A step runs in a separate process, because
an illegal access on the device makes every later call of that process fail.
"""

STEPS = ("environment", "equality", "races", "streams", "memory", "speed")
