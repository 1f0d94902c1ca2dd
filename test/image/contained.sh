#!/usr/bin/env bash
# Runs a command in an image's folder like a container: a read-only root, a volume at /data, books
# at /lottery/.data, a tmpfs at /tmp, and the image's user. This machine's root is the base.
# `unshare` starts this script as process 1 of new namespaces; the command replaces it.
set -euo pipefail
image=$1 mount_point=$2 volume=$3 books=$4 user=$5 workdir=$6 node=$7
shift 7

mount -t tmpfs tmpfs "$mount_point"
layer=$mount_point/layer
root=$mount_point/root
mkdir "$root"
# A copy with mount points, because an overlay layer must not lie within the one below it.
cp -a "$image" "$layer"
mkdir "$layer/lottery/.data"
touch "$layer/usr/local/bin/node"
mount -t overlay -o "ro,lowerdir=$layer:/" overlay "$root"

# As Docker does with a new volume.
cp -a "$image/data/." "$volume"
chown --reference="$image/data" "$volume"

mount --bind "$volume" "$root/data"
mount --bind "$books" "$root/lottery/.data"
mount --bind "$node" "$root/usr/local/bin/node"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# A change of user clears the parent-death signal, so setpriv sets it afterwards.
exec chroot "$root" \
  setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --pdeathsig SIGKILL \
  env --chdir "$workdir" -- "$@"
