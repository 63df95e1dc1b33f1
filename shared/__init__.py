"""The contract: what controller, node executor and osctl must agree on. Imports neither side."""
