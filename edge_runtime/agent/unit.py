"""The agent as a systemd service, with no more of the system than it needs (systemd.exec(5))."""

import os
from pathlib import Path

_UNIT = """\
[Unit]
Description=Littoral device agent
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
ExecStart={python} -m edge_runtime agent --store {store}
Restart=always
RestartSec=5
# An application that runs the model (edge_runtime.agent.live) has the same User=, and DynamicUser=yes, StateDirectory=.
DynamicUser=yes
User=littoral
{state}
Nice=5
MemoryHigh=512M
TasksMax=64
OOMPolicy=continue
UMask=0027
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateUsers=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(store: str | os.PathLike[str], python: str) -> str:
    """The unit's text for a folder; one below /var/lib is made and given to the service by systemd."""
    path = Path(store)
    state = f"ReadWritePaths={path}"
    if path.parent == Path("/var/lib"):
        state = f"StateDirectory={path.name}\nStateDirectoryMode=0750"
    return _UNIT.format(python=python, store=path, state=state)
