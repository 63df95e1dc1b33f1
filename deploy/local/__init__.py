"""A whole fleet on one machine: embedded Redis, virtual nodes, the demo."""
