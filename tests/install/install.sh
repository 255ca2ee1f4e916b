#!/bin/sh
# Installs into a fresh prefix, builds the README's program against it with pkg-config and with
# CMake, shared and static, and runs each. install.sh SOURCE BUILD
set -eu
source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null

# The README shows the program that is built here.
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$work/readme.c"
cmp "$work/readme.c" "$source/examples/embed.c" || {
    echo "the README's C program is not examples/embed.c"
    exit 1
}

"$work/prefix/bin/espy" convert "$source/examples/shapes/shapes.onnx" -o "$work/shapes.espy"
flags=${ESPY_SANITIZE_FLAGS:-}
export PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name espy.pc)")
libraries=$(dirname "$(find "$work/prefix" -name libespy.a)")
# shellcheck disable=SC2046,SC2086
cc -std=c11 $flags $(pkg-config --cflags espy) "$work/readme.c" -o "$work/by_pkg_config" \
    $(pkg-config --libs espy)
cmake -S "$source/tests/install/consumer" -B "$work/consumer" -DSOURCE="$work/readme.c" \
    -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_FLAGS="$flags" >/dev/null
cmake --build "$work/consumer" >/dev/null

export LD_LIBRARY_PATH=$libraries
for program in "$work/by_pkg_config" "$work/consumer/embed_shared" "$work/consumer/embed_static"; do
    "$program" "$work/shapes.espy" >"$work/output"
    [ "$(wc -l <"$work/output")" -eq 8 ] || {
        echo "$program did not print 8 logits"
        exit 1
    }
done
"$work/prefix/bin/espy" --help >/dev/null
