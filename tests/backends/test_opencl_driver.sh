#!/bin/sh
# tests/backends/test_opencl_driver.sh: OpenCL drivers that cannot be used are reasons in a list.
set -eu
[ -f "$TENON_BUILD_DIR/plugins/libtenon_opencl.so" ] || {
    echo "[skipped: there is no opencl plugin]"
    exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# says WHAT TEXT: `tenon backends` has TEXT where WHAT.
says() {
    text=$("$TENON_BUILD_DIR/tools/tenon" backends 2>&1)
    case $text in
    *"$2"*) ;;
    *)
        echo "FAILED: tenon backends does not say why opencl cannot be used: $1"
        echo "$text"
        exit 1
        ;;
    esac
}

mkdir "$dir/bad" "$dir/none"
printf '%s\n' '#include <stdio.h>' '#include <stdlib.h>' \
    '__attribute__((constructor)) static void leave(void) { fputs("goodbye\n", stderr); abort(); }' \
    >"$dir/driver.c"
cc -shared -fPIC -o "$dir/libdriver.so" "$dir/driver.c"
echo "$dir/libdriver.so" >"$dir/bad/bad.icd"
(
    export OCL_ICD_VENDORS="$dir/bad"
    says "a driver that aborts" \
        "an OpenCL driver ends the process that asks for its devices (signal 6)"
    case $text in
    *goodbye*)
        echo "FAILED: the driver's words are seen"
        exit 1
        ;;
    esac
)

(
    export OCL_ICD_VENDORS="$dir/none"
    says "no driver" "cannot be used: no OpenCL driver is installed"
)

# PoCL has a platform without devices where it cannot make its cache folder.
if ls /etc/OpenCL/vendors/*pocl* >/dev/null 2>&1; then
    unset POCL_CACHE_DIR
    XDG_CACHE_HOME=/proc/none
    export XDG_CACHE_HOME
    says "a cache that cannot be written" "no OpenCL platform offers a device: "
    says "a cache that cannot be written" "POCL_CACHE_DIR"
fi
echo "passed"
