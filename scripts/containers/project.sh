# shellcheck shell=bash
# What the scripts that run docker-compose.yml have in common; they source this.

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-convene} COMPOSE_ANSI=never BUILDKIT_PROGRESS=plain

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "$what has not happened"
        sleep 0.5
    done
}

# up SERVICE: starts a service and waits until it is healthy.
up() {
    timeout 180 docker compose up --detach --wait "$1" || fail "$1 does not start"
}

# inside SERVICE COMMAND...
inside() {
    docker compose exec -T "$@" </dev/null
}

# Prints a line for each service: its name, state, health and exit code.
states() {
    docker compose ps --all --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}'
}

all_healthy() {
    local service expected
    for service in $(docker compose config --services); do
        expected="$service running healthy 0"
        # It makes the example cluster and ends.
        [ "$service" != cluster ] || expected="cluster exited  0"
        grep -qxF "$expected" <<<"$(states)" || { states; fail "$service is not as expected: $expected"; }
    done
}

# Prints "NAME ID" for each voter of the example cluster that has started.
voters() {
    inside etcd-1 etcdctl member list | awk -F ', ' '$2 == "started" && $6 == "false" { print $3, $1 }' | sort
}
