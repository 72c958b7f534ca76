"""Making a tree independent of its place: inspect, work out the edits, apply them."""
