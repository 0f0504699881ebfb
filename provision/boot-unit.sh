#!/usr/bin/env bash
# Installs (or with "remove" removes) a systemd unit that ends containers in peace before a reboot
# and starts them by their restart policy after it.
set -euo pipefail
unit=/etc/systemd/system/devbox.service

fail() {
    printf 'boot-unit: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "this needs root: run it with sudo"
[ -d /run/systemd/system ] || fail "this machine was not started by systemd: run 'devbox internal boot' from what starts it"
case "${1:-install}" in
    install)
        devbox=$(command -v devbox) || fail "devbox is not on PATH: run ./quickstart first"
        cat >"$unit" <<UNIT
[Unit]
Description=Start devbox containers by their restart policy
After=network-online.target local-fs.target
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
# conmon and the containers are to stay when the command has ended
KillMode=process
ExecStart=$devbox internal boot --root /var/lib/devbox --run /run/devbox
# before a reboot each gets its stop signal and as much time as 'devbox stop' would give it, 90 s at most
ExecStop=$devbox internal shutdown --root /var/lib/devbox --run /run/devbox
TimeoutStopSec=110

[Install]
WantedBy=multi-user.target
UNIT
        systemctl daemon-reload
        # started now, too: only a unit that was is asked to stop the containers before a reboot
        systemctl enable --now devbox.service
        ;;
    remove)
        # not --now: the containers are to go on
        systemctl disable devbox.service || true
        rm -f "$unit"
        systemctl daemon-reload
        ;;
    *) fail "unknown word '$1': use install or remove" ;;
esac
