#!/bin/sh
# tests/env/test_outside.sh: an installed Tenon is enough to write plugins and programs.
#
# Installs into a temporary prefix, builds plugins/swish and plugins/cdist there as a stranger would
# (CMake with find_package, and the compiler with pkg-config), and trains through them with the
# installed library. Then the whole prefix moves, and everything must still be found.
set -eu
: "${TENON_SOURCE_DIR:?}" "${TENON_BUILD_DIR:?}"

skip() { echo "skipped: $1"; exit 77; }
fail() { echo "FAILED: $1"; exit 1; }

command -v cmake >/dev/null || skip "no cmake"
command -v pkg-config >/dev/null || skip "no pkg-config"
cached() { sed -n "s/^$1:[A-Z]*=//p" "$TENON_BUILD_DIR/CMakeCache.txt"; }
case $(cached TENON_SANITIZE) in
address) flags="-fsanitize=address,undefined" ;;
thread) flags="-fsanitize=thread" ;;
*) flags="" ;;
esac
cc=$(cached CMAKE_C_COMPILER)
libdir=$(cached CMAKE_INSTALL_LIBDIR)

work=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
unset TENON_PLUGIN_PATH TENON_BACKENDS TENON_NUM_THREADS
cmake --install "$TENON_BUILD_DIR" --prefix "$prefix" >"$work/install.log" ||
    fail "installation: $(cat "$work/install.log")"
# The installation has both plugins; these are to be replaced by ours.
rm -f "$prefix/$libdir"/tenon/*swish* "$prefix/$libdir"/tenon/*cdist*

echo "== CMake"
build() { # source, build directory
    cmake -S "$1" -B "$2" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_C_FLAGS="-O2 -Wall -Wextra -Werror $flags" >"$2.log" 2>&1 &&
        cmake --build "$2" >>"$2.log" 2>&1 || fail "$1: $(cat "$2.log")"
}
for name in swish cdist; do
    cp -r "$TENON_SOURCE_DIR/plugins/$name" "$work/$name"
    build "$work/$name" "$work/build_$name"
done
build "$TENON_SOURCE_DIR/tests/env/outside" "$work/build_outside"

echo "== compiler and pkg-config"
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
includes=$(pkg-config --variable=includedir tenon)
for name in swish cdist; do
    # shellcheck disable=SC2046,SC2086
    $cc -std=c11 -O2 -Wall -Wextra -Werror $flags -shared -fPIC -fvisibility=hidden \
        $(pkg-config --cflags tenon) "$work/$name/$name.c" -o "$work/$name.so" -lm \
        -Wl,--version-script="$includes/tenon/plugin.map"
done
# shellcheck disable=SC2046,SC2086
$cc -std=c11 -O2 -Wall -Wextra $flags $(pkg-config --cflags tenon) \
    "$TENON_SOURCE_DIR/tests/env/outside/outside.c" -o "$work/outside" \
    $(pkg-config --libs tenon) -lm

echo "== symbols: one goes out, none of Tenon's comes in"
for plugin in "$work"/*.so "$work"/build_*/*.so; do
    out=$(nm -D --defined-only "$plugin" | awk '$3 !~ /^_/ { print $3 }' | tr '\n' ' ')
    [ "$out" = "tn_plugin_query " ] || fail "$plugin exports: $out"
    in=$(nm -D --undefined-only "$plugin" | grep -c ' tni\{0,1\}_' || true)
    [ "$in" = 0 ] || fail "$plugin imports symbols of Tenon"
done

run() { # prefix, program, swish, cdist
    LD_LIBRARY_PATH="$1/$libdir" "$2" "$1/$libdir/tenon" "$3" "$4" || fail "$2 with $3 and $4"
}
echo "== run what CMake built"
run "$prefix" "$work/build_outside/outside" "$work/build_swish/libswish.so" \
    "$work/build_cdist/libcdist.so"
echo "== run what the compiler built, from another place"
mv "$prefix" "$work/moved"
cd "$work"
run "$work/moved" "$work/outside" ./swish.so ./cdist.so
echo "== the plugins are also found by environment"
mkdir "$work/more"
cp "$work/swish.so" "$work/more/"
LD_LIBRARY_PATH="$work/moved/$libdir" TENON_PLUGIN_PATH="$work/more" "$work/outside" / \
    "$work/build_swish/libswish.so" ./cdist.so >"$work/again.log" 2>&1 &&
    fail "a second swish was loaded"
grep -q "a plugin named swish .* was loaded from $work/more/swish.so" "$work/again.log" ||
    fail "wrong reason: $(cat "$work/again.log")"
echo "passed"
