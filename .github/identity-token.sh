#!/usr/bin/env bash
# identity-token.sh AUDIENCE: this job's own OpenID Connect token, for a cloud that trusts it. Needs the permission id-token: write.
set -euo pipefail
curl --fail --silent --show-error --get --data-urlencode "audience=$1" \
  --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL" \
  | jq --exit-status --raw-output .value
