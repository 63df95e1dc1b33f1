"""Entry point of ``matic-agent``. Objects are built in ``node_executor.agent``, which only ``run`` loads."""

from __future__ import annotations

from node_executor.cli import agent


def main() -> None:
    """Run the command line."""
    agent.main(prog_name="matic-agent")


if __name__ == "__main__":
    main()
