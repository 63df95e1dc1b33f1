"""Ways to run MaticOS Fleet: a whole fleet on one machine, systemd units, Redis configuration."""
