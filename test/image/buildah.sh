#!/usr/bin/env bash
# Builds the image with buildah and runs it. Prints one line per successful check; fails at the
# first failed one.
#
# The base image is built here: Debian with the project's Node and this machine's npm, under the
# Dockerfile's name for it without the digest. Needs root, buildah, debootstrap (or
# LOTTERY_IMAGE_BASE) and `npm ci`.
#
#   LOTTERY_IMAGE_BASE=FOLDER   stores the debootstrapped Debian there, or uses it if it exists
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

shown() { printf 'shown: %s\n' "$*"; }
fail() {
  printf 'failed: %s\n' "$*" >&2
  exit 1
}
expect() {
  [[ $2 == "$3" ]] || fail "$1: expected <$3>, got <${2:0:500}>"
  shown "$1: $2"
}

((EUID == 0)) || fail "needs root"
command -v buildah >/dev/null || fail "needs buildah"
node=$(realpath "$project/node_modules/.bin/node")
[[ -x $node ]] || fail "needs $node: run npm ci"

work=$(mktemp -d)
sed 's/^\(FROM [^@ ]*\)@sha256:[0-9a-f]*/\1/' "$project/Dockerfile" >"$work/Dockerfile"
base=docker.io/library/$(sed -n 's/^FROM \([^ ]*\).*/\1/p' "$work/Dockerfile" | sort -u)
export BUILDAH_ISOLATION=chroot npm_config_loglevel=error
b() { command buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
clean() {
  jobs -p | xargs --no-run-if-empty kill -KILL || true
  b rm --all >/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

debian=${LOTTERY_IMAGE_BASE:-$work/debian}
if [[ ! -d $debian ]]; then
  command -v debootstrap >/dev/null || fail "needs debootstrap, or LOTTERY_IMAGE_BASE"
  debootstrap --variant=minbase --include=libatomic1,ca-certificates bookworm "$debian.part" \
    >"$work/log" || fail "debootstrap: $(tail -n 5 "$work/log")"
  mv "$debian.part" "$debian"
fi

container=$(b from scratch)
b copy --quiet "$container" "$debian" / >/dev/null
b copy --quiet "$container" "$node" /usr/local/bin/node >/dev/null
b copy --quiet "$container" "$(npm root --global)/npm" /usr/local/lib/node_modules/npm >/dev/null
b run "$container" -- ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
# Like the real base: the Dockerfile must replace the entrypoint and the command.
b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --entrypoint '["docker-entrypoint.sh"]' --cmd node "$container"
b commit --quiet --rm "$container" "$base" >/dev/null

# The build uses this machine's npm registry and trusted certificates.
certificates=$(npm config get cafile)
if [[ $certificates == null ]]; then
  certificates=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
fi
userconfig=$(npm config get userconfig)
(
  umask 077
  if [[ -f $userconfig ]]; then cat "$userconfig"; fi
  printf '\nregistry=%s\ncafile=/run/certificates\n' "$(npm config get registry)"
) >"$work/npmrc"

b build --quiet --pull=never --volume "$work/npmrc:/root/.npmrc:ro" \
  --volume "$certificates:/run/certificates:ro" --file "$work/Dockerfile" \
  --tag lottery "$project" >/dev/null
shown "builds from $project/Dockerfile"

setting() { b inspect --type image --format "{{.OCIv1.Config.$1}}" lottery; }
expect "entrypoint" "$(setting Entrypoint)" "[node /app/lottery.cjs]"
expect "no command from the base" "$(setting Cmd)" "[]"
expect "user" "$(setting User)" 10001:10001
expect "stop signal" "$(setting StopSignal)" SIGTERM
expect "ports" "$(setting ExposedPorts)" "map[12345/tcp:{} 12346/tcp:{}]"

below=$(b from --pull=never "$base")
image=$(b from --pull=never lottery)
# The folder with the files that the command loads is named after its content.
list() { (cd "$(b mount "$1")" && find . -xdev -not -path "./app/command-*" | sort); }
expect "new in the image" "$(comm -13 <(list "$below") <(list "$image") | tr '\n' ' ')" \
  "./app ./app/lottery.cjs ./data ./lottery ./usr/local/bin/lottery "
expect "gone from the base" "$(comm -23 <(list "$below") <(list "$image"))" ""

run() { b run "$image" -- "$@"; }
expect "node_modules except npm's" \
  "$(b run --user 0 "$image" -- find / -xdev -name node_modules -prune)" /usr/local/lib/node_modules
expect "user and group" "$(run id -u):$(run id -g)" 10001:10001
expect "the user in /etc/passwd" "$(run awk -F: '$3 == 10001' /etc/passwd)" ""
expect "working folder" "$(run pwd)" /lottery
expect "link" "$(run readlink -f /usr/local/bin/lottery)" /app/lottery.cjs
expect "writable by the user" "$(
  run find / /app /lottery /usr/local/bin /data /tmp -maxdepth 0 -writable | tr '\n' ' '
)" "/data /tmp "
version="lottery v$("$node" -p "require('$project/package.json').version")"
expect "entrypoint --version" "$(run node /app/lottery.cjs --version)" "$version"
expect "lottery --version" "$(run lottery --version)" "$version"

# Runs as process 1 with the image as read-only root.
root=$(b mount "$image")
mkdir "$work/volume"
chown --reference="$root/data" "$work/volume"
# shellcheck disable=SC2016 # expanded by the inner shell
contain='
  root=$1 volume=$2
  shift 2
  mount --bind "$root" "$root"
  mount --options remount,bind,ro "$root"
  mount --bind "$volume" "$root/data"
  mount -t tmpfs tmpfs "$root/tmp"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  exec chroot "$root" \
    setpriv --reuid 10001 --regid 10001 --clear-groups --pdeathsig SIGKILL \
    env --chdir=/lottery -- "$@"'
format='{{range .OCIv1.Config.Env}}{{println .}}{{end}}'
mapfile -t environment < <(b inspect --type image --format "$format" lottery | grep .)
contained=(unshare --mount --pid --fork --kill-child=SIGKILL env -i "${environment[@]}"
  bash -ec "$contain" bash "$root" "$work/volume")

"${contained[@]}" lottery demo | tee "$work/demo"
awk '$2 == 3000 { agencies++; winners += $3; documents += NF - 5 }
  END { exit !(agencies == 5 && winners > 0 && documents > 0) }' "$work/demo" ||
  fail "the demo's table has no winners of a draw"
shown "the demo on a read-only root: a draw with winners"

"${contained[@]}" node /app/lottery.cjs server --port 0 --winners-port 0 2>"$work/log" &
unshare=$!
until grep -q "action: listen " "$work/log"; do
  kill -0 "$unshare" || fail "the server: $(cat "$work/log")"
  sleep 0.1
done
server=$(tr -d ' ' <"/proc/$unshare/task/$unshare/children")
expect "the server's process" "$(awk '/^NSpid:/ { print $NF }' "/proc/$server/status")" 1
expect "the server's user" "$(awk '/^Uid:/ { print $2 }' "/proc/$server/status")" 10001
expect "the server's store" "$(stat -c '%n %u' "$work/volume"/*.db | xargs)" \
  "$work/volume/lottery.db 10001"
kill -s "$(setting StopSignal)" "$server"
timeout 60 tail --pid="$unshare" --follow /dev/null || fail "the server did not stop within 60 s"
code=0
wait "$unshare" || code=$?
expect "the server's exit code after the stop signal" "$code" 0
expect "its last line" "$(tail -n 1 "$work/log" | cut -d ' ' -f 3- | xargs)" \
  "INFO action: exit | result: success"
