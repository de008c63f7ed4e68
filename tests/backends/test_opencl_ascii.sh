#!/bin/sh
# tests/backends/test_opencl_ascii.sh: a program for OpenCL becomes an array of its bytes; one that
# is not ASCII is an error of the build that names the file, the line and the byte.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

cat >make.cmake <<END
include($TENON_SOURCE_DIR/backends/opencl/program_text.cmake)
program_text(text \${file})
file(WRITE text.c "\${text}")
END

echo "== an array of the bytes"
command="program_text of good.cl"
printf 'kernel void f(void) { // ; [1] "$x" \\\n}\n\tand more than a line of sixteen bytes\n' >good.cl
cmake -Dfile=good.cl -P make.cmake >out 2>err || fail "$command: $(cat err)"
cat >print.c <<'END'
#include <stdio.h>
#include "text.c"
int main(void) { return fputs(ocl_good_cl, stdout) < 0; }
END
"${CC:-cc}" -o print print.c 2>err || fail "$command: $(cat err)"
./print | cmp - good.cl || fail "$command: other bytes: $(cat text.c)"

echo "== ASCII alone"
command="program_text of bad.cl"
printf 'kernel void f(void)\n{\n} // 2 \303\227 3\n' >bad.cl
cmake -Dfile=bad.cl -P make.cmake >out 2>err && fail "$command: no error"
err 'bad.cl:3: byte 0xC3: programs for OpenCL must be ASCII'

finish
