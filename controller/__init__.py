"""The controller: decides for the fleet. Never imports the node executor."""
