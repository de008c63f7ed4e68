#!/bin/sh
# tests/backends/test_opencl_driver.sh: an OpenCL driver that ends the process is a reason in a list.
set -eu
[ -f "$TENON_BUILD_DIR/plugins/libtenon_opencl.so" ] || {
    echo "[skipped: there is no opencl plugin]"
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%s\n' '#include <stdio.h>' '#include <stdlib.h>' \
    '__attribute__((constructor)) static void leave(void) { fputs("goodbye\n", stderr); abort(); }' \
    >"$dir/driver.c"
cc -shared -fPIC -o "$dir/libdriver.so" "$dir/driver.c"
echo "$dir/libdriver.so" >"$dir/bad.icd"
export OCL_ICD_VENDORS="$dir"
text=$("$TENON_BUILD_DIR/tools/tenon" backends 2>&1)
case $text in
*"an OpenCL driver ends the process that asks for its devices (signal 6)"*) ;;
*)
    echo "FAILED: tenon backends does not say why opencl cannot be used:"
    echo "$text"
    exit 1
    ;;
esac
case $text in
*goodbye*)
    echo "FAILED: the driver's words are seen"
    exit 1
    ;;
esac
echo "passed"
