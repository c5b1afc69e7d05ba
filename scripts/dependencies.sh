#!/bin/sh
# Installs from Debian, by name, what building and testing needs and this host lacks.
#
# As root, or by sudo where it asks for no password; else it prints the one line to run and goes on, because tidegate
# builds without LLVM, too (then there is no recompiling and no BPF reader, and `tidegate doctor` says so).
# TIDEGATE_NO_INSTALL=1 installs nothing.
set -u

# Rust is the user's own; rustup installs it.
need=1.95
have=$(cargo --version 2>/dev/null | cut -d' ' -f2)
if [ -z "$have" ]; then
    echo "error: cargo is not there" >&2
    echo "hint: install Rust $need or newer with rustup: https://rustup.rs" >&2
    exit 3
fi
if [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" != "$need" ]; then
    echo "error: Rust $have is too old" >&2
    echo "hint: rustup update stable (Rust $need or newer is needed)" >&2
    exit 3
fi

# The compiler driver, the partition and the worker; the BPF reader; the page's browser test; the runtime's checks.
wanted="gcc make pkg-config zlib1g-dev libzstd-dev libxml2-dev libelf-dev
clang-22 llvm-22-dev lld-22 libpolly-22-dev libclang-rt-22-dev
chromium valgrind strace
ccache libtool libtool-bin autoconf automake cmake meson ninja-build tcl-dev"

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
    [ "$status" = installed ] || missing="$missing $package"
done
# These may have come from elsewhere; only their absence matters.
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v gdb >/dev/null 2>&1 || missing="$missing gdb"
[ -n "$missing" ] || exit 0

line="apt-get update && apt-get install --yes --no-install-recommends$missing"
if [ "${TIDEGATE_NO_INSTALL:-}" = 1 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$missing" >&2
    echo "hint: as root, run: $line" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "missing:$missing" >&2
    echo "hint: as root, run: $line" >&2
    exit 0
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # the lists are words on purpose
if ! { $as_root apt-get update --quiet=2 && $as_root apt-get install --yes --quiet=2 --no-install-recommends $missing; }; then
    echo "error: not everything could be installed; going on with what is there" >&2
    echo "hint: as root, run: $line" >&2
fi
exit 0
