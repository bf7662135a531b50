"""Computations without pixels: values, nodes, and the graph that they form.

A filter's plan is a function of `Value` objects and plain parameters that returns the resulting value. It is called
once for each combination of parameters, shapes and dtypes; the backends run the graph.
"""
