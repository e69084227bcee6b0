#!/usr/bin/env bash
# Submits a recipe to Slurm: an array job a step, then a gate that the next step waits for.
#   scripts/drivers/slurm.sh configs/fineweb.toml /shared/runs/fineweb [sbatch options…]
# The recipe, its inputs and OUT must be on a file system that all nodes see. Publish at the end with
#   gristmill run RECIPE --out OUT
set -euo pipefail
recipe=${1:?usage: slurm.sh RECIPE OUT [sbatch options…]}
out=${2:?usage: slurm.sh RECIPE OUT [sbatch options…]}
shift 2
gristmill=${GRISTMILL:-gristmill}
mkdir -p "$out/logs"
plan=$out/plan.json
after=()
"$gristmill" plan "$recipe" --out "$out" --write "$plan" | awk 'NR > 1 { print $1, $2 }' |
  while read -r step tasks; do
    # `task` takes its index from SLURM_ARRAY_TASK_ID. Slurm runs it again where it was lost: a done task does nothing.
    array=$(sbatch --parsable --requeue --array=0-$((tasks - 1)) "${after[@]}" --job-name="$step" \
      --output="$out/logs/$step-%a.log" "$@" --wrap="$gristmill task --plan $plan --stage $step || [ \$? -eq 1 ]")
    gate=$(sbatch --parsable --dependency=afterok:"$array" --job-name="$step.gate" \
      --output="$out/logs/$step-gate.log" "$@" --wrap="$gristmill gate --plan $plan --stage $step || [ \$? -eq 1 ]")
    after=(--dependency=afterok:"$gate")
    echo "$step: $tasks tasks in job $array, gate $gate"
  done
