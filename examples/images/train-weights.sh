#!/bin/sh
# The demo's networks: four sizes, 5.9 MB in all in half precision. Hours on two CPU cores, minutes on a GPU; it can be
# stopped and called again. In steps, not minutes, so that the weights do not depend on the machine's speed.
set -eu
python=${1:-python}
train() {
    nice "$python" -m examples.images train --data photos --out runs/weights --seed 0 --half "$@"
}
train --level full            --channels 24,48,80 --batch 24 --steps 8150
train --level lowpass:20      --channels 24,48,56 --batch 48 --steps 4208 --learning-rate 1.5e-3
train --level downsampling:16 --channels 24,40,56 --batch 48 --steps 4444 --learning-rate 1.5e-3
train --level lowpass:8       --channels 24,40    --batch 64 --steps 6390 --learning-rate 1.5e-3
mkdir -p examples/images/weights
cp runs/weights/half/*.safetensors examples/images/weights/
