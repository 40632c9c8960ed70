#!/bin/sh
# The demo's network, one for every level, 2.4 MB in half precision: first trained on full images alone, then on those of
# all the levels of the plans. Hours on two CPU cores, minutes on a GPU; it can be stopped and called again. In steps, not
# minutes, so that the weights do not depend on the machine's speed. The second part of those that ship was ended by the
# clock, after 50 minutes of one thread of a busy machine, in which it came to these steps.
set -eu
python=${1:-python}
images() {
    command=$1
    shift
    nice "$python" -m examples.images "$command" --data builtin "$@"
}
images train --level full --out runs/weights/full --seed 0 --half --channels 24,48,80 --batch 24 --steps 8150
images analyse --out runs/weights/shared
images train --shared --start runs/weights/full/half/full.safetensors --out runs/weights/shared --seed 1 --half \
    --channels 24,48,80 --batch 24 --steps 3231 --learning-rate 5e-4
mkdir -p examples/images/weights
cp runs/weights/shared/half/shared.safetensors examples/images/weights/
