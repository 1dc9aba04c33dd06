#!/bin/sh
# Prepares a directory for Docker: compose file, .env with a fresh sealing key, data directory.
#   mkdir sub2api && cd sub2api && curl -fsSL .../deploy/docker-deploy.sh | sh
# SUB2API_DEPLOY_URL names another place to take the files from.
set -eu
from=${SUB2API_DEPLOY_URL:-https://raw.githubusercontent.com/sub2api/sub2api/main/deploy}

fetch() {
    if command -v curl >/dev/null 2>&1; then curl -fsSL -o "$2" "$1"; else wget -q -O "$2" "$1"; fi
}

main() {
    if [ -e .env ] || [ -e docker-compose.yml ]; then
        echo "docker-deploy.sh: .env or docker-compose.yml is here already: nothing was changed." >&2
        exit 1
    fi
    umask 077
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch "$from/docker-compose.local.yml" "$work/docker-compose.yml"
    fetch "$from/.env.example" "$work/env"
    key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    [ "${#key}" = 64 ] || { echo "docker-deploy.sh: no random numbers here" >&2; exit 1; }
    sed "s/^TOTP_ENCRYPTION_KEY=.*/TOTP_ENCRYPTION_KEY=$key/" "$work/env" >"$work/.env"
    mkdir -p data
    chmod 700 data
    # The container's user. As root it is handed over; else it must be ours.
    if [ "$(id -u)" = 0 ]; then chown 1000:1000 data; elif [ "$(id -u)" != 1000 ]; then
        echo "Hand the data directory over: sudo chown 1000:1000 data"
    fi
    mv "$work/docker-compose.yml" docker-compose.yml
    mv "$work/.env" .env
    echo "TOTP_ENCRYPTION_KEY: $key"
    echo "It seals your providers' keys; it is in .env. Keep a copy of it somewhere else."
    echo
    echo "Next:  docker compose up -d"
    echo "       docker compose exec sub2api sub2api account add --platform anthropic --name mine --api-key sk-..."
    echo "       docker compose exec sub2api sub2api key create --name laptop"
}

main "$@"
