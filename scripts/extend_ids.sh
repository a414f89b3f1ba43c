#!/usr/bin/env bash
# Gives every new command of protocol/schema/commands.fbs the next free id in protocol/api/ids.lock. Commit the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
/usr/bin/python3 protocol/gen/commands.py --schema protocol/schema/commands.fbs --lock protocol/api/ids.lock \
  --out build/gen_commands_check.h --extend-lock
echo "protocol/api/ids.lock is up to date; commit it."
