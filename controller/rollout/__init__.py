"""The rollout core: pure. No clock, disk, network, Celery or SQL; time and chance are values handed in."""
