#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The kernel helper as DKMS builds it: what packaging/install puts into /usr/src, built by the machine's
# dkms against a lab kernel's headers, in the root folder that tools/setup --modules unpacked. In a
# mount namespace: nothing of the machine is changed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh

k=6.12
root=$PWD/build/lab/kbuild/$k
log=$PWD/build/results/dkms.log
dkms=$(command -v dkms) || { skip dkms "dkms is not installed"; exit 0; }
[ -d "$root" ] || { skip dkms "no headers for kernel $k: tools/setup --kernels $k --modules"; exit 0; }
[ "$(id -u)" = 0 ] || { skip dkms "needs root"; exit 0; }
release=$(cat "build/lab/kernel/$k/release")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root" "$work/over" build/results
VERSION=0.1.0 DESTDIR=$work/stage prefix=/usr packaging/install --package dkms >"$log" 2>&1
check "packaging/install lays out the source" 0 $?
src=$(find "$work/stage" -name dkms.conf -printf '%h\n' | head -n 1)
version=${src##*-}
mkdir -p "$work/top/usr/src/hypertier-$version" "$work/top/usr/bin" "$work/top/usr/lib/modules/$release" \
	"$work/top/usr/sbin" "$work/top/var/lib/dkms" "$work/top/etc/dkms" "$work/top/var/tmp" "$work/top/dev"
cp -r "$src/." "$work/top/usr/src/hypertier-$version/"
# dkms is a bash script; the folder has no bash.
cp /bin/bash "$work/top/usr/bin/bash"
mkdir -p "$work/top/usr/lib/x86_64-linux-gnu"
cp -L /lib/x86_64-linux-gnu/libtinfo.so.6 "$work/top/usr/lib/x86_64-linux-gnu/"
cp "$dkms" "$work/top/usr/sbin/dkms"
[ ! -f /etc/dkms/framework.conf ] || cp /etc/dkms/framework.conf "$work/top/etc/dkms/"
mkdir -p "$work/top/usr/lib/dkms"
ln -s "/usr/src/linux-headers-$release" "$work/top/usr/lib/modules/$release/build"
ln -s gcc-14 "$work/top/usr/bin/gcc"

# shellcheck disable=SC2016
unshare -m sh -c '
	mount -t tmpfs tmpfs "$1/over" && mkdir "$1/over/upper" "$1/over/work" &&
	cp -r "$1/top/." "$1/over/upper/" &&
	mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/over/upper,workdir=$1/over/work" "$1/root" &&
	mount -t proc proc "$1/root/proc" && touch "$1/root/dev/null" && mount --bind /dev/null "$1/root/dev/null" &&
	chroot "$1/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C \
		bash /usr/sbin/dkms build -m hypertier -v "$3" -k "$4"
	rc=$?
	cat "$1/root/var/lib/dkms/hypertier/$3/build/make.log" "$1/root/var/lib/dkms/hypertier/$3/$4/x86_64/log/make.log" 2>/dev/null
	cp "$1/root/var/lib/dkms/hypertier/$3/$4/x86_64/module/"hypertier.ko* "$1/" 2>/dev/null
	exit $rc' sh "$work" "$root" "$version" "$release" >>"$log" 2>&1
check "dkms build" 0 $?
ls "$work"/hypertier.ko* >/dev/null 2>&1
check "... gives a module" 0 $?
lacks "... without warnings" "$log" 'warning:|WARNING:|Skipping BTF'
[ $failed = 0 ] || tail -n 25 "$log" | sed 's/^/# /'
exit $((failed > 0))
