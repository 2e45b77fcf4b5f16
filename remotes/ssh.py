"""An ssh server of one's own for `dvc push`: OpenSSH's sshd as this user, on 127.0.0.1, one key, file transfer only.

    python -m remotes.ssh start|stop|status [FOLDER] [--port N]
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

from remotes import service
from restore_ml.base.errors import UserError

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/authorized_keys"
PidFile none
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
AllowUsers {user}
DisableForwarding yes
PermitTTY no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""
# StrictModes looks at every folder above the keys, and a project may lie in one that a group can write to; the folder
# itself is private.


def start(folder: Path, port: int = 0) -> str:
    """Start the server if it does not run; returns the lines that make it a DVC remote."""
    running = service.record(folder)
    if running is None or not running.runs():
        sshd, keygen = program("sshd"), program("ssh-keygen")
        service.private_folder(folder)
        for name in ("host_key", "client_key"):
            if not (folder / name).exists():
                subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "restore-ml", "-f", folder / name],
                               check=True)
        shutil.copyfile(folder / "client_key.pub", folder / "authorized_keys")
        (folder / "store").mkdir(exist_ok=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it when root starts it
        port = service.port_for(folder, port)
        config = folder / "sshd_config"
        config.write_text(CONFIG.format(port=port, folder=folder, user=getpass.getuser()), encoding="utf-8")
        service.start(folder, [sshd, "-D", "-e", "-f", str(config)], port, word=str(config))
    return lines(folder)


def lines(folder: Path) -> str:
    """The commands that make the running server the remote `ssh-here` of this checkout alone."""
    running = service.record(folder)
    assert running is not None
    return (f"# sshd runs on 127.0.0.1:{running.port}; in the project:\n"
            f"dvc remote add --local -f ssh-here ssh://{getpass.getuser()}@127.0.0.1:{running.port}{folder}/store\n"
            f"dvc remote modify --local ssh-here keyfile {folder}/client_key\n"
            f"dvc push -r ssh-here")


def program(name: str) -> str:
    """The path of one of OpenSSH's programs; sshd is seldom on a user's PATH."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise UserError(f"There is no {name} here; install OpenSSH's server (`apt-get install openssh-server`).")
    return path


if __name__ == "__main__":
    sys.exit(service.main("ssh", "An ssh server of one's own for DVC.", {
        "start": lambda options: start(options.folder, options.port),
        "stop": lambda options: "stopped" if service.stop(options.folder) else "not running",
        "status": lambda options: service.status(options.folder)}))
