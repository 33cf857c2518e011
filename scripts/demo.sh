#!/bin/sh
# A finished exchange on the command line: two agreements, every typical error, parcels, receipts, the log proved.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
work=$(mktemp -d "${TMPDIR:-/tmp}/hub-demo.XXXXXX")
seed=$(date +%s)

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

say hub init
say hub agreement sample E3 --errors --rows 300 --seed "$seed" --out "$work"
say hub agreement sample E2 --errors --rows 300 --seed "$seed" --format xlsx --out "$work"
say hub consent import "$work/e3-300-$seed-consents.csv" --collector kreisvolkshochschule
say hub submit "$work/e3-300-$seed.csv" --agreement E3
say hub submit "$work/e2-300-$seed.xlsx" --agreement E2

parcel=$(hub parcel list --recipient integrationsbegleitung --json |
    python -c 'import json, sys; print(json.load(sys.stdin)["parcels"][0]["id"])')
ssh-keygen -q -t ed25519 -N '' -f "$work/recipient"
say hub partner add integrationsbegleitung --public-key "$work/recipient.pub" --key-name "demo $seed"
say hub parcel fetch "$parcel" --key "$work/recipient" --out "$work/parcels"

submission=$(hub submission list --limit 2 --json |
    python -c 'import json, sys; print(json.load(sys.stdin)["submissions"][-1]["submission"])')
say hub submission show "$submission" --save "$work/receipts"
say hub log verify --receipt "$work/receipts/$submission.received.jwt"
printf '\nWhat the sender gets lies in %s, what the recipient gets in %s.\n' "$work/receipts" "$work/parcels"
