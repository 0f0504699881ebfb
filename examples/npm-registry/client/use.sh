#!/bin/sh
# Install the package from the registry that is linked as `registry`, and call it.
set -eu
mkdir /tmp/app
cd /tmp/app
until node -e 'fetch("http://registry:4873/-/ping").catch(() => process.exit(1))'; do sleep 0.2; done
npm install --no-fund --no-audit --registry http://registry:4873 team-greeting
node -p 'require("team-greeting")("devbox")'
