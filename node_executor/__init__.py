"""The node executor: acts on one node. Never imports the controller."""
