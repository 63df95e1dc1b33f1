#!/bin/sh
# The rollback flow on one node, through osctl alone: health, an update that holds, one that fails its health check and
# is rolled back, the state files, a killed executor, a manual rollback, the history.
#
# usage: tests/e2e/rollback-flow.sh        (after ./setup; takes about a minute; exits 0 when all steps held)
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"
export PATH

folder=$(mktemp -d /tmp/matic-flow-XXXXXX)
fleet=""
cleanup() {
    code=$?
    trap - EXIT INT TERM
    if [ $code -ne 0 ] && [ -f "$folder/node-01/console.log" ]; then
        echo "--- last lines of the executor:" >&2
        tail -n 15 "$folder/node-01/console.log" >&2
    fi
    [ -z "$fleet" ] || { kill "$fleet" 2>/dev/null || true; wait "$fleet" 2>/dev/null || true; }
    rm -rf "$folder"
    exit $code
}
trap cleanup EXIT
trap 'exit 130' INT TERM

steps=0
step() { steps=$((steps + 1)); printf '\n== %d. %s\n' "$steps" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
expect_code() {  # expect_code CODE COMMAND...: run it, show its output, and compare its exit code
    wanted=$1; shift
    printf '$ %s\n' "$*"
    code=0; "$@" || code=$?
    [ "$code" -eq "$wanted" ] || fail "exit code $code, expected $wanted: $*"
}
expect_text() {  # expect_text TEXT COMMAND...: its output must contain the text
    wanted=$1; shift
    printf '$ %s\n' "$*"
    output=$("$@") || fail "exit code $?: $*"
    printf '%s\n' "$output"
    case "$output" in *"$wanted"*) ;; *) fail "no '$wanted' in the output of: $*" ;; esac
}
state_field() {  # state_field FILE NAME
    python -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$NODE_1_STATE/$1" "$2"
}
update() { expect_code "$1" osctl schedule update --source "$2" --sha256 "$3" --enable-auto-rollback \
    --health-check-timeout 4 --wait --timeout 120; }
settled() {  # wait until the node answers again and is healthy: a reboot is under way
    tries=0
    until osctl health >/dev/null 2>&1; do
        tries=$((tries + 1)); [ $tries -lt 100 ] || fail "the node did not come back"
        sleep 0.3
    done
}

step "one virtual node with a real GPT disk image, and a controller"
python -m deploy.local.up "$folder" --nodes 1 &
fleet=$!
until [ -f "$folder/fleet.env" ]; do
    kill -0 "$fleet" 2>/dev/null || fail "the fleet did not start"
    sleep 0.2
done
# shellcheck disable=SC1091 # written by the line above
. "$folder/fleet.env"
osctl context set node --kind node --address "$NODE_1_ADDRESS" --tls-dir "$ADMIN_TLS"
osctl context use node

step "the node is healthy before anything happens"
expect_text "System Health: HEALTHY" osctl health

step "a good image: flashed, switched, proven"
update 0 "$GOOD_URL" "$GOOD_SHA256"
settled
[ "$(state_field rollback_state.json previous_partition)" = 2 ] || fail "previous_partition is not 2"
[ "$(state_field rollback_state.json boot_counter)" = 0 ] || fail "boot_counter was not cleared"

step "a bad image: its service does not come up, the node goes back by itself"
update 11 "$BAD_URL" "$BAD_SHA256"
settled
expect_text "Type: Automatic" osctl rollback history

step "the same bad version is refused from now on"
update 15 "$BAD_URL" "$BAD_SHA256"

step "the state survives a kill -9 of the executor"
before=$(osctl rollback history -o json)
pkill -9 -f "matic-agent run --config $folder/node-01/agent.toml"
settled
[ "$before" = "$(osctl rollback history -o json)" ] || fail "the history changed"

step "a manual rollback is refused: the other slot holds the bad image"
expect_code 5 osctl rollback trigger --reason "Application crash"

step "a good image again, and then a manual rollback"
update 0 "$GOOD_URL" "$GOOD_SHA256"
settled
expect_text "Rollback completed. System will reboot to previous partition." osctl rollback trigger --reason "Application crash"
until osctl rollback history | grep -q "Type: Manual"; do sleep 0.3; done
settled
expect_text "Reason: Application crash" osctl rollback history

step "a wrong hash is refused, and nothing is switched"
update 15 "$GOOD_URL" "$(printf '0%.0s' $(seq 64))"

printf '\nall %d steps held\n' "$steps"
