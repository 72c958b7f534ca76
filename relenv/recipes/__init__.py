"""What is built and how: data, no action. `libraries.LIBRARIES` and `cpython.RELEASES` are the tables."""
