"""Entry point of the ``kdist`` command.

Commands are imported only when they are called: a long-running component must not pay for the operator's
tools (terminal output, templates) in resident memory, nor the other way round.
"""

from __future__ import annotations

import importlib

import click

from kdist import __version__

# command -> (module with an attribute of the same name, one line for --help)
COMMANDS: dict[str, tuple[str, str]] = {
    "agent": ("kdist.cli.agent", "Run the node agent (kubelet)."),
    "apiserver": ("kdist.cli.apiserver", "Run the API server."),
    "bundle": ("kdist.cli.bundle", "Build and verify the install bundle."),
    "controller-manager": ("kdist.cli.controller_manager", "Run the controllers."),
    "csi-local": ("kdist.cli.csi_local", "Run the local storage driver and its sidecar."),
    "dev": ("kdist.cli.dev", "Run a whole control plane locally, without root or containers."),
    "dns": ("kdist.cli.dns", "Feed cluster records to unbound."),
    "doctor": ("kdist.cli.doctor", "Tell what is wrong with a cluster, why, and what mends it."),
    "encryption": ("kdist.cli.encryption", "Exchange keys of encryption at rest, rewrite what is stored."),
    "etcd": ("kdist.cli.etcd", "Care for etcd: snapshots, restore, lost quorum, space."),
    "lab": ("kdist.cli.lab", "Make throw-away hosts on this machine."),
    "net": ("kdist.cli.net", "Run the pod network on this host."),
    "plan": ("kdist.cli.plan", "Show what site.yml would change on which host."),
    "pki": ("kdist.cli.pki", "See, renew and exchange certificates."),
    "proxy": ("kdist.cli.proxy", "Run the service proxy on this host."),
    "remove": ("kdist.cli.remove", "Take hosts out of a cluster."),
    "reset": ("kdist.cli.reset", "Leave hosts as they were before kdist."),
    "roles": ("kdist.cli.roles", "Check and document the Ansible roles of this checkout."),
    "scheduler": ("kdist.cli.scheduler", "Run the scheduler."),
    "status": ("kdist.cli.status", "Show hosts, control plane, etcd, certificates, add-ons and problems."),
    "support-bundle": ("kdist.cli.support_bundle", "Collect logs and state of a cluster, without secrets."),
    "token": ("kdist.cli.token", "Make bootstrap tokens, by which hosts join."),
    "upgrade": ("kdist.cli.upgrade", "Move a cluster to another version, and back."),
    "vip": ("kdist.cli.vip", "Hold the virtual address of the API servers."),
    "validate": ("kdist.cli.validate", "Check a cluster's inventory and group_vars."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from the table, so that ``--help`` imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(cls=LazyGroup)
@click.version_option(__version__, prog_name="kdist")
def main() -> None:
    """kdist: a Kubernetes distribution in Python, driven by Ansible."""


if __name__ == "__main__":
    main()
