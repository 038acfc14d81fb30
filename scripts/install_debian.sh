#!/usr/bin/env bash
# Installs the Debian packages of the named things (venv, mariadb, postgresql, sshd, faketime, chromium) whose programs are missing.
set -euo pipefail

PATH=$PATH:/usr/sbin
missing=()
for thing in "$@"; do
    case $thing in
        venv)
            "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv) ;;
        mariadb)
            # The server without the package that would start it as a service.
            type -P mariadbd mariadb-install-db my_print_defaults mariadb-dump >/dev/null ||
                missing+=(mariadb-server-core mariadb-client) ;;
        postgresql)
            compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql) ;;
        sshd)
            type -P sshd ssh-keygen >/dev/null || missing+=(openssh-server openssh-client) ;;
        faketime)
            compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime) ;;
        chromium)
            type -P chromium >/dev/null || missing+=(chromium) ;;
        *)
            echo "install_debian.sh: what is $thing?" >&2
            exit 2 ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo)
"${root[@]}" apt-get update
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
