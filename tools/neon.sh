#!/usr/bin/env bash
# Builds for aarch64 and runs under emulation, on a Debian x86-64 machine.
#
#   tools/neon.sh test [ARGS]     the Rust tests (ARGS go to cargo test)
#   tools/neon.sh ci              those that every change must pass: unit tests, hashes, walks with long steps
#   tools/neon.sh walk [STRIDE]   the walk over float32
#   tools/neon.sh python [ARGS]   the Python tests under Debian's arm64 Python (ARGS go to pytest; PYTHON has pip)
#
# The linker and the emulator must be installed: apt-get install qemu-user gcc-aarch64-linux-gnu
# libc6-dev-arm64-cross (as root this script does it). A Rust compiler that knows the target, its standard
# library and the arm64 Python come as Debian packages, unpacked under target/neon and nowhere else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
HERE=$PWD/target/neon
TARGET=aarch64-unknown-linux-gnu
PYTHON=${PYTHON:-python3}
HOST=$HERE/host ARM=$HERE/arm64

say() { echo "neon: $*" >&2; }

fail() {
    say "FAILED, nothing was tested: $*"
    exit 1
}

need_tools() {
    command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null && return
    local packages=(qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
    [ "$(id -u)" = 0 ] || fail "needs ${packages[*]}: install them with apt-get"
    say "installing ${packages[*]}"
    apt-get update -qq -o APT::Update::Error-Mode=any || fail "cannot reach Debian's packages"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null \
        || fail "cannot install ${packages[*]}"
}

# An apt of its own, so that the machine's package lists and architectures stay as they are.
own_apt() {
    local architecture=$1
    shift
    local state=$HERE/apt-$architecture
    mkdir -p "$state"/{lists/partial,cache/archives/partial}
    touch "$state/status"
    apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o APT::Sandbox::User=root -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state/sources" \
        -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" -o Debug::NoLocking=1 "$@"
}

# unpack ARCHITECTURE INTO PACKAGES...: downloads and unpacks packages with what they depend on.
unpack() {
    local architecture=$1 into=$2 state=$HERE/apt-$1
    shift 2
    mkdir -p "$state/sources"
    # Debian's own sources alone: others need not know the architecture.
    local source
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [ ! -s "$source" ] || cp "$source" "$state/sources/debian.${source##*.}"
    done
    say "fetching $* for $architecture"
    own_apt "$architecture" -o APT::Update::Error-Mode=any update || fail "cannot reach Debian's packages"
    own_apt "$architecture" install -y --download-only --no-install-recommends "$@" >/dev/null \
        || fail "cannot fetch $* for $architecture"
    mkdir -p "$into"
    local package
    for package in "$state"/cache/archives/*.deb; do
        dpkg -x "$package" "$into"
    done
    rm -rf "$state/cache"
}

need_compiler() {
    [ -e "$HERE/compiler" ] && return
    unpack amd64 "$HOST" rustc-web
    unpack arm64 "$ARM" libstd-rust-web-dev
    # The compiler finds its libraries beside itself.
    ln -sfn "$ARM/usr/lib/rustlib/$TARGET" "$HOST/usr/lib/rustlib/$TARGET"
    cat >"$HERE/rustc" <<END
#!/bin/sh
LD_LIBRARY_PATH=$HOST/usr/lib/x86_64-linux-gnu exec $HOST/usr/bin/rustc "\$@"
END
    chmod +x "$HERE/rustc"
    "$HERE/rustc" --version >"$HERE/compiler"
}

# Debian's interpreter, and the packages of requirements-dev.txt that the tests cannot do without.
need_python() {
    local wanted packages
    wanted=$(grep -E '^(numpy|scipy|mpmath|ml_dtypes|pytest|hypothesis)==' requirements-dev.txt)
    [ "$(cat "$HERE/python" 2>/dev/null)" = "$wanted" ] && return
    unpack arm64 "$ARM" python3 libpython3.11-dev
    read -r -d '' -a packages <<<"$wanted" || true
    rm -rf "$HERE/packages"
    "$PYTHON" -m pip install --quiet --target "$HERE/packages" --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        "${packages[@]}" || fail "cannot install ${packages[*]}"
    echo "$wanted" >"$HERE/python"
}

command -v apt-get >/dev/null || fail "needs apt-get and Debian's packages"
need_tools
need_compiler
export RUSTC=$HERE/rustc
export CARGO_TARGET_DIR=$HERE/build
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# What inlining says about aliases grows with the square of what is inlined: with it the crate alone takes five minutes
# and 4 GB. Results have the same bits without.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C llvm-args=-enable-noalias-to-md-conversion=0"
# Fewer steps: emulation is some fifty times slower.
export WALK_STRIDE=${WALK_STRIDE:-40009} WALK_POINTS=${WALK_POINTS:-30000}

what=${1:-test}
shift || true
test=(cargo test --no-default-features --release --target "$TARGET" --lib)
case $what in
    test) "${test[@]}" --tests "$@" ;;
    ci) "${test[@]}" --test hashes --test halves --test math --test walk --test sums ;;
    walk) cargo run --no-default-features --release --target "$TARGET" --example walk -- neon "${1:-9973}" ;;
    python)
        need_python
        wheels=$HERE/wheels
        rm -rf "$wheels"
        PYO3_CROSS_LIB_DIR=$ARM/usr/lib PYO3_CROSS_PYTHON_VERSION=3.11 \
            "$PYTHON" -m maturin build --release --target "$TARGET" --out "$wheels"
        python3 -m zipfile -e "$wheels"/*.whl "$wheels/site"
        # Tests start interpreters of their own, by the name that this one was started by.
        emulated=$HERE/python3.11
        cat >"$emulated" <<END
#!/bin/sh
exec qemu-aarch64 -L "$ARM" -0 "$emulated" -E PYTHONHOME="$ARM/usr" -E PYTHONPATH="$wheels/site:$HERE/packages" \\
    "$ARM/usr/bin/python3.11" "\$@"
END
        chmod +x "$emulated"
        # The memory of a process is its emulator's; that does not outlive a fork in a process with threads; and the
        # libraries that adapters stand on are not installed for it.
        exec "$emulated" -m pytest --hypothesis-profile=emulated --ignore tests/test_memory.py --ignore tests/adapters \
            --deselect tests/test_threads.py::test_fork_after_the_pool_was_used \
            --deselect tests/test_threads.py::test_multiprocessing "$@"
        ;;
    *)
        say "what is '$what'?"
        exit 2
        ;;
esac
