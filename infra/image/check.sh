#!/bin/sh
# Called by `make image-check`: build the image without a registry or a daemon, and run it as a cluster does.
#
# Debian's buildah builds the recipe (chroot isolation); a root file system made by debootstrap stands in for the base image. The
# image then runs as user 10001 with a read-only root. Wants root, Debian and about 15 GB; elsewhere it says why it is skipped.
# BASE_ROOT names a root file system that is there already, KEEP=1 keeps the images, TORCH_INDEX_URL is passed on, PIP_CONF
# names pip's configuration, VOLUMES="/a /b" paths that it names (a folder of wheels, an authority).
set -eu

skip() { echo "image-check: skipped, $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it wants root"
for tool in buildah debootstrap unshare; do
    command -v "$tool" >/dev/null || skip "$tool is not installed (Debian: buildah, debootstrap, util-linux)"
done

here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
base=docker.io/library/python:3.12-slim-bookworm
image=localhost/lesionlab:check
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
clean() {
    [ "${KEEP:-}" ] || buildah rmi --force "$image" "$base" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM  # a signal alone would end dash without the trap above

root=${BASE_ROOT:-$work/root}
[ -d "$root" ] || debootstrap --variant=minbase \
    --include=python3,python3-venv,python3-pip,ca-certificates,bash bookworm "$root" >/dev/null
tar --create --file "$work/root.tar" --directory "$root" .
cat >"$work/Dockerfile" <<'BASE'
FROM scratch
ADD root.tar /
RUN ln -sf python3 /usr/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
BASE
buildah bud --quiet --tag "$base" "$work"

# pip inside asks the index that pip outside asks.
set -- --pull-never --network host --tag "$image" --file "$here/infra/image/Dockerfile"
for settings in ${PIP_CONF:-/etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"}; do
    [ -f "$settings" ] && set -- "$@" --volume "$settings:/etc/pip.conf:ro" && break
done
for path in ${VOLUMES:-}; do
    set -- "$@" --volume "$path:$path:ro"
done
buildah bud --quiet "$@" --build-arg TORCH_INDEX_URL="${TORCH_INDEX_URL:-}" "$here"

container=$(buildah from --pull-never "$image")
mounted=$(buildah mount "$container")
echo "image-check: $(du -sm "$mounted" | cut -f1) MB"

# A read-only root with the two places where a pod may write, as k8s/jobs/work mounts them.
mkdir "$work/tmp" "$work/home" && chown 10001:10001 "$work/tmp" "$work/home"
run() {
    unshare --mount --fork --pid --kill-child sh -c '
        set -e
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
        mount --bind "$2/tmp" "$1/tmp" && mount --bind "$2/home" "$1/home/lesionlab"
        mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"
        shift 2 && root=$1 && shift
        cd / && exec chroot --userspec 10001:10001 "$root" /usr/bin/env -i HOME=/home/lesionlab PATH=/usr/local/bin:/usr/bin:/bin \
            RAY_USAGE_STATS_ENABLED=0 /bin/bash -c "cd /opt/lesionlab && $*"
    ' sh "$mounted" "$work" "$mounted" "$@"
}
run 'lesionlab --version'
run 'test "$(id -u)" = 10001'
run '! touch /opt/lesionlab/written 2>/dev/null'
cp "$here/tests/jobs/tiny.yaml" "$work/home/tiny.yaml"
run 'cd && lesionlab run tiny.yaml --work /home/lesionlab && ls .lesionlab/store/reports'
buildah umount "$container" >/dev/null && buildah rm "$container" >/dev/null
echo "image-check: built, and a tiny sweep ran as user 10001 with a read-only root"
