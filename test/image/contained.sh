#!/usr/bin/env bash
# Runs an image's folder as a container would: a root of its own that is read-only, a volume at
# /data, books at /lottery/.data, a tmpfs at /tmp, and the image's user. The base under the image is
# this machine's own root. Started by `unshare` as process 1 of new namespaces, which the command
# that is given then is.
set -euo pipefail
image=$1 mount_point=$2 volume=$3 books=$4 user=$5 workdir=$6 node=$7
shift 7

mount -t tmpfs tmpfs "$mount_point"
layer=$mount_point/layer
root=$mount_point/root
mkdir "$root"
# A copy, since a layer must not lie within the one below it; and with what is mounted upon.
cp -a "$image" "$layer"
mkdir "$layer/lottery/.data"
touch "$layer/usr/local/bin/node"
mount -t overlay -o "ro,lowerdir=$layer:/" overlay "$root"

# What Docker does with a new volume.
cp -a "$image/data/." "$volume"
chown --reference="$image/data" "$volume"

mount --bind "$volume" "$root/data"
mount --bind "$books" "$root/lottery/.data"
mount --bind "$node" "$root/usr/local/bin/node"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# With its user a process loses the signal that it gets when its parent dies.
exec chroot "$root" \
  setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --pdeathsig SIGKILL \
  env --chdir "$workdir" -- "$@"
