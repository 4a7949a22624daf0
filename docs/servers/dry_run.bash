# shellcheck shell=bash
# Sourced by the scripts beside it, after `here` is set. `run` runs a command and `become` puts one in this shell's
# place, so that signals reach it; with --dry-run as the first argument, which is taken away, both only show it.
show() {
    printf '%q ' "$@"
    echo
}
run() {
    "$@"
}
become() {
    exec "$@"
}
if [[ ${1:-} == --dry-run ]]; then
    run() { show "$@"; }
    become() { show "$@"; }
    shift
fi
