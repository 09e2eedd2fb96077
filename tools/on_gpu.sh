#!/usr/bin/env bash
# Everything that wants a GPU, in the order in which it is worth the time:
#
#   tools/on_gpu.sh [--dry-run] [doctor] [capture] [suite] [cuda] [parity] [bench]      (no names: all of them)
#
# Results go to $OUT (default build/gpu) as they come: log.txt, summary.txt, capture.json, gpu.json. A part that fails or
# runs out of time does not stop the others. LIMIT is the number of seconds for all (default 570); what is left is bench's.
# Nothing is installed where imports work; else wheels are taken from the folder $WHEELS (default .whl), without a network.
# GPU_WORKERS (default 4) processes run the suite: each has a CUDA context, about half a GiB.
set -u -o pipefail
cd "$(dirname "$0")/.."
readonly start=$SECONDS limit=${LIMIT:-570} out=$(mkdir -p "${OUT:-build/gpu}" && cd "${OUT:-build/gpu}" && pwd)
readonly python=${PYTHON:-python3} wheels=${WHEELS:-.whl} site=${SITE:-/tmp/nnxp-site} workers=${GPU_WORKERS:-4}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=agg
unset OPENBLAS_CORETYPE NVIDIA_TF32_OVERRIDE CUPY_TF32

dry=
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
readonly dry parts=${*:-doctor capture suite cuda parity bench}
: >"$out/summary.txt"
: >"$out/log.txt"
readonly last=$(mktemp)
trap 'rm -f "$last"' EXIT

left() { echo $((limit - (SECONDS - start))); }

say() { echo "$*" | tee -a "$out/summary.txt"; }

# part NAME SECONDS COMMAND…: at most so long, and never longer than what is left. Ctrl-C lets pytest say what it has.
part() {
    local name=$1 most=$2 began=$SECONDS status
    shift 2
    [ "$most" -gt "$(left)" ] && most=$(left)
    if [ "$most" -lt 5 ]; then say "$name: no time left"; return; fi
    echo "== $name: $*" | tee -a "$out/log.txt"
    timeout -s INT -k 15 "$most" "$@" 2>&1 | tee -a "$out/log.txt" "$last"
    status=${PIPESTATUS[0]}
    [ "$status" = 124 ] && status="124 (out of time)"
    say "$name: status $status, $((SECONDS - began)) s: $(tail -n 1 "$last" | cut -c 1-160)"
}

needs="nnxp, array_api_compat, numpy"
[ -z "$dry" ] && needs="$needs, cupy"
if ! "$python" -c "import $needs" 2>/dev/null; then
    if compgen -G "$wheels/*.whl" >/dev/null; then
        "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
        export PYTHONPATH="$PYTHONPATH:$site"
    fi
    "$python" -c "import $needs" 2>"$last" ||
        say "imports fail: $(tail -n 1 "$last"); pip install '.[cuda13,plot]' (or cuda12), with pytest for suite and cuda"
fi

if [ -n "$dry" ]; then
    backend=numpy/cuda parity=numpy/cuda suite="tests/training/test_plan.py" gpu="--dry-run --rounds 2 --seconds 0.01"
else
    export NNXP_REQUIRE_GPU=1
    backend=cupy parity=cupy suite="tests --ignore=tests/oracle" gpu=
fi
pytest=("$python" -m pytest -q --tb=short -p no:cacheprovider -rfE --continue-on-collection-errors)
"$python" -c "import xdist" 2>/dev/null && pytest+=(-n "$workers")
bench=("$python" benchmarks/gpu.py)

for name in $parts; do
    case $name in
    doctor) part doctor 90 "$python" -m nnxp doctor ;;
    capture) part capture 90 "${bench[@]}" $gpu --output "$out/capture.json" --workloads W2 W3 --no-ceilings \
        --no-nodes --rounds 1 --contenders nnxp nnxp-eager --budget 70 ;;
    suite) part suite 240 "${pytest[@]}" $suite --backend "$backend" ;;
    cuda) part cuda 60 "${pytest[@]}" tests/cuda ;;
    parity) part parity 60 "$python" -m nnxp parity numpy "$parity" --model digits ;;
    bench)
        budget=$(($(left) - 60))  # what was begun then is brought to an end
        [ "$budget" -lt 1 ] && budget=1
        part bench "$(left)" "${bench[@]}" --output "$out/gpu.json" $gpu --budget "$budget"
        ;;
    *) say "$name: no such part" ;;
    esac
done
echo "----"
cat "$out/summary.txt"
! grep -q -v ': status 0,' "$out/summary.txt"
