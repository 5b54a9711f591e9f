#!/usr/bin/env bash
# Ask a running `visionthink serve` about an image with curl; prints the whole response as JSON.
# The question must not contain double quotes: it is inserted into the JSON as it is.
#   bash examples/ask.sh src/visionthink/mini/samples/tag.png "What code is on the tag?" mini
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
image=$1 question=$2 model=$3
base=${OPENAI_BASE_URL:-http://127.0.0.1:8000/v1}

{
  printf '{"model": "%s", "messages": [{"role": "user", "content": [' "$model"
  printf '{"type": "text", "text": "%s"},' "$question"
  printf '{"type": "image_url", "image_url": {"url": "data:image/png;base64,'
  base64 < "$image" | tr -d '\n'
  printf '"}}]}]}'
} | curl --silent --show-error --fail-with-body "$base/chat/completions" \
  --header "Content-Type: application/json" \
  --header "Authorization: Bearer ${OPENAI_API_KEY:-none}" \
  --data-binary @-
