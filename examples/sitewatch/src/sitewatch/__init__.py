"""Checks HTTPS sites and remembers how they did."""
