"""The PEP 517 build backend."""
