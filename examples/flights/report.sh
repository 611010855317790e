#!/bin/sh
# Writes report.html, an evaluation of the flights, and its first picture as report.png (needs Chromium).
set -e
cd "$(dirname "$0")/../.."
focalgrad evaluate examples/flights/logits.npy examples/flights/targets.npy --gamma 2,0,0.5,1,5 \
	--report examples/flights/report.html
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1100,1236 \
	--screenshot="$PWD/examples/flights/report.png" "file://$PWD/examples/flights/report.html"
