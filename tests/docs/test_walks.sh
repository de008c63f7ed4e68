#!/bin/sh
# Installs this build and does what README.md and the pages about writing plugins tell to do in a
# shell: their commands, their files, their output.
set -eu
. "$TENON_SOURCE_DIR/tests/docs/common.sh"
command -v pkg-config >/dev/null || { echo "no pkg-config here"; exit 77; }
unset LIBS
case $CC in
*clang*-fsanitize*)
    # Plugins are linked with -z defs, which leaves clang's sanitizers without their symbols.
    echo "plugins cannot be built with a sanitizer of clang"
    exit 77
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
# What is compiled on the way has to have the sanitizer of this build.
cat >"$work/bin/cc" <<END
#!/bin/sh
exec $CC "\$@"
END
chmod +x "$work/bin/cc"
export PATH="$work/bin:$PATH" CC="$work/bin/cc" TENON_PREFIX="$work/installed"
cmake --install "$TENON_BUILD_DIR" --prefix "$TENON_PREFIX" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}

status=0
for page in README.md docs/write_an_operator.md docs/write_a_backend.md; do
    perl "$TENON_SOURCE_DIR/tests/docs/doctest.pl" "$TENON_SOURCE_DIR/$page" || status=1
done
exit $status
