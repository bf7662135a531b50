"""What is to be done, without pixels: values, nodes, and the graph that they make.

A filter's plan is a function of `Value` objects and plain parameters that returns the value that it makes. It is called
once for each combination of parameters, shapes and dtypes; how the graph is run is the business of the backends.
"""
