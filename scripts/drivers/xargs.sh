#!/usr/bin/env bash
# Works off a recipe with nothing but processes: every task its own, JOBS at a time, a gate after each step. The
# smallest driver there is, and a pattern for others: whatever starts processes can take the place of xargs.
#   scripts/drivers/xargs.sh configs/quickstart.toml runs/quickstart 2
set -euo pipefail
recipe=${1:?usage: xargs.sh RECIPE OUT [JOBS]}
out=${2:?usage: xargs.sh RECIPE OUT [JOBS]}
jobs=${3:-$(nproc)}
gristmill=${GRISTMILL:-gristmill}
mkdir -p "$out"
plan=$out/plan.json
"$gristmill" plan "$recipe" --out "$out" --write "$plan" | awk 'NR > 1 { print $1, $2 }' |
  while read -r step tasks; do
    # A task exits 1 when its input was quarantined: that is recorded, not a failure of the driver.
    seq 0 $((tasks - 1)) |
      xargs -P "$jobs" -I{} sh -c '"$0" task --plan "$1" --stage "$2" --index {} || [ $? -eq 1 ]' \
        "$gristmill" "$plan" "$step" >&2
    "$gristmill" gate --plan "$plan" --stage "$step" </dev/null >&2 || [ $? -eq 1 ]
  done
# Every step is done: this only publishes and prints the funnel.
exec "$gristmill" run "$recipe" --out "$out"
