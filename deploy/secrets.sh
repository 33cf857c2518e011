#!/bin/sh
# Make the secret files of docker-compose.yaml, once: sudo deploy/secrets.sh [FOLDER]
# Files that are there stay as they are. They belong to the user of the containers (10001), mode 0600, because
# Compose shows a file inside a container with the owner and mode that it has outside.
set -eu
umask 077
owner=10001
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

random() {
    od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# keep NAME: what comes in becomes the secret NAME, whole or not at all, unless there is one.
keep() {
    if [ -s "$folder/$1" ]; then
        cat >/dev/null
        return
    fi
    cat >"$folder/.$1.new"
    mv "$folder/.$1.new" "$folder/$1"
}

random | keep postgres_password
random | keep redis_password
printf 'postgresql://postgres:%s@database:5432/postgres' "$(cat "$folder/postgres_password")" | keep hub_database_url
printf 'redis://hub:%s@queue:6379/0' "$(cat "$folder/redis_password")" | keep hub_broker_url
# Redis itself is shown a digest only; nobody but the user "hub" may do anything, and that one administers nothing.
printf 'user default off\nuser hub on #%s ~* &* +@all -@admin -flushall -flushdb -keys\n' \
    "$(printf %s "$(cat "$folder/redis_password")" | sha256sum | cut -d ' ' -f 1)" | keep redis_users

if [ "$(id -u)" -eq 0 ]; then
    chown "$owner:$owner" "$folder"/*
elif [ "$(id -u)" -ne "$owner" ]; then
    echo "secrets: made, but they belong to you ($(id -un)); the containers run as user $owner" >&2
    echo "Remedy: sudo chown $owner:$owner '$folder'/*" >&2
fi
