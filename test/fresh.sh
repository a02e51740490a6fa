#!/usr/bin/env bash
# The commands of the README on a fresh machine: a bare Debian made by debootstrap, with Node and npm and nothing else, in which
# a clean clone of what is committed here is built and tested, by root and by a user with sudo. A line for each step; the
# output is in build/logs/fresh.
#
#   test/fresh.sh bookworm|trixie [NODE]   NODE: 20, 22 or 24 from npm's registry; without it, trixie's own Node and npm, and 20
#                                          on bookworm, whose own is too old
#
# Needs root, debootstrap, git and 10 GB below TMPDIR, where everything is removed at the end. Packages come from the mirror,
# registry, proxies and certificates of this machine. BRANCHMERGE_FRESH_CACHE names a directory that keeps Debian's packages for
# the next time.
set -euo pipefail
cd "$(dirname "$0")/.."

release=${1:-}
node=${2:-}
case $release in
  bookworm) node=${node:-20} ;;
  trixie) ;;
  *)
    echo 'Usage: test/fresh.sh bookworm|trixie [20|22|24]' >&2
    exit 2
    ;;
esac
if [ "$(id -u)" != 0 ]; then
  echo 'Expected root: debootstrap and chroot need it' >&2
  exit 1
fi
for command in debootstrap git unshare; do
  if ! command -v "$command" > /dev/null; then
    echo "Expected $command: install the Debian package $command" >&2
    exit 1
  fi
done

logs=build/logs/fresh/$release-node${node:-Debian}
mkdir -p "$logs"
rm -f "$logs"/*
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
cache=${BRANCHMERGE_FRESH_CACHE:-$work/cache}
mkdir -p "$cache/partial"
export cache
passed=0
failed=0

# step NAME COMMAND ...: a line about it, its output in a file.
step() {
  local name=$1 status=0 log from=$SECONDS
  log="$logs/$(printf '%02d-%s' $((passed + failed + 1)) "$(tr -c 'A-Za-z0-9\n' - <<< "$name" | tr -s -)").log"
  shift
  "$@" > "$log" 2>&1 < /dev/null || status=$?
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
    echo "$release, $name: passed, $((SECONDS - from)) s"
    return
  fi
  failed=$((failed + 1))
  echo "$release, $name: FAILED (status $status), $((SECONDS - from)) s; the end of $log:"
  tail -n 40 "$log" | sed 's/^/  | /'
  return 1
}

# What this machine says of its network, for the root to use as well.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
registry=$(npm config get registry)
environment=("npm_config_registry=$registry" LANG=C.UTF-8 TERM=dumb)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!name:-}" ]; then environment+=("$name=${!name}"); fi
done
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then environment+=(NODE_EXTRA_CA_CERTS=/etc/fresh-certificates.pem); fi

# in_root ROOT USER COMMAND: in namespaces of its own, with which all that it mounts and starts ends.
in_root() {
  unshare --mount --pid --fork --kill-child "$BASH" -c '
    set -e
    root=$1 user=$2 command=$3
    shift 3
    mount --make-rprivate /
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount --bind "$cache" "$root/var/cache/apt/archives"
    home=/root
    if [ "$user" != root ]; then home=/home/$user; fi
    exec chroot --userspec="$user:$user" "$root" \
      /usr/bin/env -i "HOME=$home" "USER=$user" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
      /bin/bash -c "cd; $command"' in_root "$@" "${environment[@]}"
}

make_root() {
  debootstrap --variant=minbase --cache-dir="$cache" "$release" "$work/bare" "$mirror"
  cp /etc/resolv.conf /etc/hosts "$work/bare/etc/"
  apt-config dump | grep -iE '^Acquire::(https?|ftp)::proxy' > "$work/bare/etc/apt/apt.conf.d/50proxy" || true
  # Debian keeps the packages that apt has installed, unless this is said.
  echo 'APT::Keep-Downloaded-Packages "true";' > "$work/bare/etc/apt/apt.conf.d/51cache"
  # No service starts because it was installed.
  printf '#!/bin/sh\nexit 101\n' > "$work/bare/usr/sbin/policy-rc.d"
  chmod +x "$work/bare/usr/sbin/policy-rc.d"
  if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then cp -L "$NODE_EXTRA_CA_CERTS" "$work/bare/etc/fresh-certificates.pem"; fi
}

add_node() {
  if [ -z "$node" ]; then
    in_root "$work/bare" root 'apt-get install -y --no-install-recommends nodejs npm'
  else
    # The registry has Node's own builds, and npm.
    npm install --prefix "$work/bare/opt/node" --no-save --no-audit --no-fund "node@$node" npm@10
    ln -s ../../../opt/node/node_modules/node/bin/node "$work/bare/usr/local/bin/node"
    for name in npm npx; do
      ln -s "../../../opt/node/node_modules/npm/bin/$name-cli.js" "$work/bare/usr/local/bin/$name"
    done
  fi
  in_root "$work/bare" root 'node --version; npm --version'
}

add_user() {
  in_root "$work/bare" root 'apt-get install -y --no-install-recommends sudo && useradd --create-home --shell /bin/bash user'
  echo 'user ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/user"
}

# new_machine NAME USER: a copy of the bare root.
new_machine() {
  cp -a --reflink=auto "$work/bare" "$work/$1"
  new_clone "$1" "$2" branchmerge
}

# new_clone MACHINE USER NAME: a clean clone in the user's home.
new_clone() {
  local home=root
  if [ "$2" != root ]; then home=home/$2; fi
  git clone --quiet --no-hardlinks . "$work/$1/$home/$3"
  in_root "$work/$1" root "chown -R $2:$2 '/$home/$3'"
}

# run_in MACHINE USER CLONE NAME COMMAND
run_in() { step "$4" in_root "$work/$1" "$2" "cd $3 && $5" || true; }

step 'a bare root' make_root || exit 1
step "Node ${node:-and npm of Debian}" add_node || exit 1

step 'a machine of root' new_machine as-root root || exit 1
run_in as-root root branchmerge 'root: three-experts' examples/three-experts/run.sh
run_in as-root root branchmerge 'root: fuse-pair' examples/fuse-pair.sh
run_in as-root root branchmerge 'root: tests' test/run.sh
rm -rf --one-file-system "$work/as-root"

step 'a user with sudo' add_user "$work/bare" || exit 1
step 'a machine of the user' new_machine as-user user || exit 1
run_in as-user user branchmerge 'user: tests' test/run.sh
run_in as-user user branchmerge 'user: three-experts' examples/three-experts/run.sh
# As everybody types it, in a clone that has nothing yet.
step 'another clone' new_clone as-user user typed || exit 1
run_in as-user user typed 'user: npm ci, build, test' 'npm ci && npm run build && npm test'
rm -rf --one-file-system "$work/as-user"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
