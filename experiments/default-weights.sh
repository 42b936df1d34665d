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

# A first look at all kinds of x-ray at low resolution, from which the three stages start.
radsnap train kind --data "$runs/gathered.csv" -o "$runs/base" --name base --epochs 7 --size 128

mixed=(--data "$runs/gathered.csv" --data "$runs/phantoms/manifest.csv")
radsnap train kind "${mixed[@]}" -o "$runs/kind" --from "$runs/base/network.safetensors" --epochs 3 --learning-rate 5e-4
radsnap train gate "${mixed[@]}" -o "$runs/gate-1" --from "$runs/base/network.safetensors" --epochs 5 --learning-rate 5e-4
radsnap train gate "${mixed[@]}" -o "$runs/gate-2" --from "$runs/gate-1/network.safetensors" --epochs 3 --learning-rate 4e-4
radsnap train gate "${mixed[@]}" -o "$runs/gate-3" --from "$runs/gate-2/network.safetensors" \
  --epochs 4 --draws 1600 --learning-rate 3e-4
# The shipped gate went through these three on grey pictures; then it was shown colours.
radsnap train gate "${mixed[@]}" -o "$runs/gate-4" --from "$runs/gate-3/gate.onnx" --epochs 5 --draws 2000 --learning-rate 4e-4
# Then further pictures that are no x-rays, from packages of Debian and PyPI, and photos by the full simulation.
other=$runs/other-pictures/manifest.csv photos=$runs/gate-photos
test -f "$other" || python experiments/other-pictures.py -o "$runs/other-pictures"
for drawn in "train 3600 0" "train 3600 1" "train 3600 2" "train 3600 3" "train 3600 4" "val 640 0" "test 800 0"; do
  set -- $drawn
  folder=$photos/$1$([ "$3" = 0 ] || echo "-$3")
  test -f "$folder/manifest.csv" ||
    python experiments/gate-photos.py "$runs/gathered.csv" "$other" --split "$1" --count "$2" --seed "$3" -o "$photos"
done
shown=("${mixed[@]}" --data "$other" --data "$photos/train/manifest.csv" --data "$photos/val/manifest.csv")
radsnap train gate "${shown[@]}" -o "$runs/gate-4-photos" --from "$runs/gate-4/gate.onnx" --freeze 2 --epochs 3 --draws 3200 \
  --learning-rate 5e-4 --photo-share 0.3 --choose-by digital
# Then more photos, and what `diagnose` cuts out of them: the gate is asked of both. (The shipped corners did the cutting.)
for part in train train-1 train-2 train-3 train-4 val; do
  test -f "$photos/$part-straightened/manifest.csv" ||
    python experiments/straightened.py "$photos/$part/manifest.csv" -o "$photos/$part-straightened"
done
for part in train train-1 train-2 val; do shown+=(--data "$photos/$part-straightened/manifest.csv"); done
shown+=(--data "$photos/train-1/manifest.csv" --data "$photos/train-2/manifest.csv")
radsnap train gate "${shown[@]}" -o "$runs/gate-5" --from "$runs/gate-4-photos/gate.onnx" --freeze 2 --epochs 5 --draws 4800 \
  --learning-rate 5e-4 --photo-share 0.15 --choose-by digital
going_on=(--freeze 2 --draws 3200 --learning-rate 4e-4 --photo-share 0.15 --choose-by digital)
radsnap train gate "${shown[@]}" -o "$runs/gate-6" --from "$runs/gate-5/network.safetensors" "${going_on[@]}" --epochs 3
for part in train-3 train-4; do
  shown+=(--data "$photos/$part/manifest.csv" --data "$photos/$part-straightened/manifest.csv")
done
radsnap train gate "${shown[@]}" -o "$runs/gate-7" --from "$runs/gate-6/network.safetensors" "${going_on[@]}" --epochs 4
# At last x-rays with metal in them, as they are and photographed. The shipped gate is the mean of these last two: one step
# at a learning rate of next to nothing brings it through validation.
test -f "$runs/implants/manifest.csv" || python experiments/implants.py "$runs/gathered.csv" -o "$runs/implants"
python -c "import pandas as pd; rows = pd.read_csv('$runs/gathered.csv', dtype=str, keep_default_na=False); \
rows[rows['body'] == 'none'].to_csv('$runs/none.csv', index=False)"
test -f "$photos/train-5/manifest.csv" || python experiments/gate-photos.py "$runs/implants/manifest.csv" "$runs/none.csv" "$other" \
  --split train --count 2000 --seed 5 -o "$photos"
test -f "$photos/train-5-straightened/manifest.csv" ||
  python experiments/straightened.py "$photos/train-5/manifest.csv" -o "$photos/train-5-straightened"
shown+=(--data "$runs/implants/manifest.csv")
shown+=(--data "$photos/train-5/manifest.csv" --data "$photos/train-5-straightened/manifest.csv")
radsnap train gate "${shown[@]}" -o "$runs/gate-8" --from "$runs/gate-7/network.safetensors" "${going_on[@]}" --epochs 3
python experiments/averaged-weights.py "$runs/gate-7/network.safetensors" "$runs/gate-8/network.safetensors" -o "$runs/gate-mean"
radsnap train gate "${shown[@]}" -o "$runs/gate" --from "$runs/gate-mean/network.safetensors" "${going_on[@]}" --epochs 1 --draws 32 \
  --learning-rate 1e-5

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
