#!/bin/sh
# tools/try_backend: the tests of operators on a backend that a plugin from elsewhere brings.
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

# try CODE ARGUMENT…
try() {
    wanted=$1
    shift
    command="try_backend $*"
    "$TENON_SOURCE_DIR/tools/try_backend" --build "$TENON_BUILD_DIR" "$@" >out 2>err </dev/null
    code=$?
    [ "$code" = "$wanted" ] || fail "$command: exit code $code, wanted $wanted: $(cat out err)"
}
dozen=$TENON_BUILD_DIR/tests/backends/dozen.so

try 0 --plugin "$dozen" dozen,reference test_dense test_softmax
out '^dozen,reference: 2 passed, 0 failed, 0 skipped$'
try 1 dozen,reference test_dense # nobody brings it
out 'test_dense: failed, see ' && out 'no backend "dozen"' && out ': 0 passed, 1 failed'
echo "this is no shared object, but long enough to be looked at as if it were one" >text.so
try 1 --plugin "$work/text.so" reference test_dense
out 'text.so: not an ELF file' && out 'no plugin of it is used'
try 2 reference test_absent
err 'test_absent was not built'
try 2
err '^Usage: tools/try_backend'
try 2 --plugin
err '^Usage: tools/try_backend'

finish
