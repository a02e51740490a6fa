#!/usr/bin/env bash
# Installs llama.cpp, an oracle of the tests, for this machine's CPU: npm would take its builds for every GPU, too, which are
# optional packages and come to gigabytes. Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")"

platform=linux-$(node -p process.arch)
installed=node_modules/.package-lock.json
if [ "$installed" -nt package-lock.json ] && [ -e "node_modules/@node-llama-cpp/$platform" ]; then exit; fi

version=$(node -p 'require("./package.json").dependencies["node-llama-cpp"]')
# Not npm ci: from npm 11 on it wants every optional package in the lock file, and a registry may lack some of them.
npm install --no-save --omit=optional --ignore-scripts --no-audit --no-fund "@node-llama-cpp/$platform@$version"
