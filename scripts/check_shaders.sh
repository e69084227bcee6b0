#!/usr/bin/env bash
# Do shaders compute what the CPU computes? Runs the feature `wgpu` on Vulkan in software, and without a driver.
#   CARGO_TARGET_DIR=DIR scripts/check_shaders.sh
# Features of shared crates differ, so arrow, parquet and burn are built once more, some 20 minutes on two idle cores into a folder
# that holds the build without the feature; a minute and a half after a change of the trainer alone.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
train=$CARGO_TARGET_DIR/release/gristmill-train

icd=$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1) || true
if [[ -z $icd ]]; then
  echo "SKIPPED: no Vulkan in software here (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
  exit 0
fi
cargo build --release --workspace --bin gristmill-train --features gristmill-train/wgpu
# The same losses as the CPU's, by shaders that run on the CPU.
VK_DRIVER_FILES=$icd VK_ICD_FILENAMES=$icd "$train" selftest --device wgpu --steps 0
# Without a driver: an error and a hint.
if VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent LIBGL_DRIVERS_PATH=/nonexistent \
  "$train" selftest --device wgpu --steps 0 2>"$train.stderr"; then
  echo "a device without a driver answered" >&2
  exit 1
fi
cat "$train.stderr"
grep -q 'the device `wgpu` does not answer' "$train.stderr"
grep -q '`--device cpu` works everywhere' "$train.stderr"
! grep -q panicked "$train.stderr"
