#!/bin/sh
# Looks for what has to be there before anything is built, and says in one line what is missing.
#   scripts/require.sh build    a Rust toolchain, a C compiler
#   scripts/require.sh test     the same, and Python for the checks of template.yaml
#   scripts/require.sh e2e      the same, on Linux
set -u

missing() {
    printf 'missing: %s\n' "$1" >&2
    exit 1
}

wanted=$(sed -n 's/^rust-version *= *"\([0-9]*\.[0-9]*\)".*/\1/p' Cargo.toml)
command -v cargo >/dev/null 2>&1 || missing "a Rust toolchain, $wanted or later (https://rustup.rs)"
found=$(rustc --version | cut -d ' ' -f 2)
minor=$(printf '%s' "$found" | cut -d . -f 2)
[ "$minor" -ge "${wanted#*.}" ] || missing "Rust $wanted or later; this is $found (rustup update)"
command -v cc >/dev/null 2>&1 || missing "a C compiler (apt install build-essential)"

[ "${1:-build}" != build ] || exit 0
command -v python3 >/dev/null 2>&1 || missing "Python 3.10 or later (apt install python3)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "Python 3.10 or later"
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing "Python's venv module (apt install python3-venv)"
cargo fmt --version >/dev/null 2>&1 || missing "rustfmt (rustup component add rustfmt)"
cargo clippy --version >/dev/null 2>&1 || missing "clippy (rustup component add clippy)"

[ "$1" = e2e ] || exit 0
[ "$(uname -s)" = Linux ] || missing "Linux: make e2e runs the functions' own binaries, without containers"
