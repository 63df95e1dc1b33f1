"""The controller's memory: tables, migrations, repositories. Knows SQL and the rollout model; decides nothing."""
