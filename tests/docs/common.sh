# tests/docs/common.sh: what the tests of pages share: the compiler of the build and its options.
# Wants TENON_SOURCE_DIR and TENON_BUILD_DIR.
command -v perl >/dev/null || { echo "no perl here"; exit 77; }

# setting NAME: a value of the build's CMake cache.
setting() {
    sed -n "s/^$1:[A-Z]*=//p" "$TENON_BUILD_DIR/CMakeCache.txt"
}

case $(setting TENON_SANITIZE) in
'') sanitize= ;;
address) sanitize=-fsanitize=address,undefined ;;
*) sanitize=-fsanitize=$(setting TENON_SANITIZE) ;;
esac
compiler=$(setting CMAKE_C_COMPILER)

# Programs are built as a user would, with every warning but that a helper is not used.
export CC="$compiler $sanitize"
export CFLAGS="-std=c11 -Wall -Wextra -Wno-unused-function -I$TENON_SOURCE_DIR/include"
export LIBS="-L$TENON_BUILD_DIR -ltenon -Wl,-rpath,$TENON_BUILD_DIR"

# Settings of whoever runs the tests must not show in what the pages print.
unset TENON_BACKENDS TENON_PLUGIN_PATH TENON_NAN
