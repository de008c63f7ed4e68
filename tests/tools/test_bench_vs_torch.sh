#!/bin/sh
# tests/tools/test_bench_vs_torch.sh: the comparison with PyTorch, at tiny sizes: what it says holds
# together. Nothing here asserts a speed.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

compare=$TENON_SOURCE_DIR/tools/bench_vs_torch
[ -x /usr/bin/python3 ] || skip_all "no /usr/bin/python3"

echo "== without PyTorch"
mkdir none
echo 'raise ImportError("there is none")' >none/torch.py
PYTHONPATH=none "$compare" --tenon "$program" >out 2>err
[ $? = 77 ] && [ ! -s out ] || fail "without PyTorch: $(cat out err)"
command="bench_vs_torch without PyTorch"
err 'skipped: no PyTorch .*there is none'

/usr/bin/python3 -c 'import torch' 2>/dev/null || {
    [ "$failures" = 0 ] && skip_all "no PyTorch to compare with"
    finish
}
sanitized && skip_all "no comparison of a build with sanitizers"

echo "== with it"
command="bench_vs_torch"
"$compare" mlp elementwise --quick --seconds 0.01 --rounds 1 --compute float32 --threads 1 \
    --tenon "$program" --json >out 2>err || fail "$command: $(cat err)"
quiet
/usr/bin/python3 - out 2>problem <<'END' || fail "$command: $(tail -n 1 problem): $(head -c 1000 out)"
import json, sys
j = json.load(open(sys.argv[1]))
assert [(r["workload"], r["mode"]) for r in j] == [
    (w, m) for w in ("mlp", "elementwise") for m in ("inference", "training")]
for r in j:
    assert r["compute"] == "float32" and r["tenon_backend"] and "1 thread" in r["torch_variant"]
    assert r["tenon_ms"] > 0 and abs(r["ratio"] - r["torch_ms"] / r["tenon_ms"]) < 1e-9
END
# More lists than two run heats; one that does not work leaves, and alone it is an error.
"$compare" mlp --mode inference --compute float32 --quick --seconds 0.01 --rounds 2 --threads 1 \
    --backend nosuch --backend blas --backend reference --backend blas,reference --verbose \
    --tenon "$program" --json >out 2>err || fail "$command with lists: $(cat err)"
/usr/bin/python3 - out err 2>problem <<'END' || fail "$command: $(tail -n 1 problem): $(cat err)"
import collections, json, sys
r, = {(r["tenon_backend"], r["ratio"] > 0) for r in json.load(open(sys.argv[1]))[:1]}
lines = [l.split(": {") for l in open(sys.argv[2])]
times = collections.Counter(l[0].strip() for l in lines if "'ms'" in l[-1])
assert r[0] in ("blas", "reference", "blas,reference") and r[1], r
assert times["nosuch"] == 0 and times["blas"] >= 1 and times[r[0]] >= 3, times
END
"$compare" mlp --mode inference --compute float32 --quick --seconds 0.01 --rounds 1 --threads 1 \
    --backend nosuch --tenon "$program" >out 2>err
[ $? = 1 ] || fail "$command of no backend: $(cat err)"
err 'Tenon cannot run it: .*nosuch'
"$compare" overhead --quick --seconds 0 --rounds 1 --cpu --tenon "$program" >out 2>err ||
    fail "$command overhead: $(cat err)"
out '^overhead +inference +1 float32 '
"$compare" frobnicate --tenon "$program" >out 2>err
[ $? = 2 ] || fail "$command frobnicate: $(cat err)"
err 'no workload "frobnicate"'

finish
