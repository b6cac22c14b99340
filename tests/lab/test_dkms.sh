#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The kernel helper as DKMS builds it: what packaging/install puts into /usr/src, built by the dkms that
# tools/setup --modules fetched, and by the machine's own where there is one, against a lab kernel's
# headers in the root folder that tools/setup unpacked; then that kernel loads it. In a mount namespace:
# nothing of the machine is changed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh

k=6.12
root=$PWD/build/lab/kbuild/$k
[ -d "$root" ] || { skip dkms "no headers for kernel $k: tools/setup --kernels $k --modules"; exit 0; }
[ "$(id -u)" = 0 ] || { skip dkms "needs root"; exit 0; }
release=$(cat "build/lab/kernel/$k/release")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p build/results

# What is laid over the headers' folder; dkms is a bash script, and the folder has no bash.
lay_out()
{
	local top=$work/top m

	rm -rf "$top"
	mkdir -p "$top/usr/src/hypertier-$version" "$top"/usr/{bin,sbin,lib/dkms,lib/x86_64-linux-gnu} \
		"$top"/var/{lib/dkms,tmp} "$top/etc/dkms" "$top/dev"
	cp -r "$src/." "$top/usr/src/hypertier-$version/"
	cp /bin/bash "$top/usr/bin/bash"
	cp -L /lib/x86_64-linux-gnu/libtinfo.so.6 "$top/usr/lib/x86_64-linux-gnu/"
	cp "$1/usr/sbin/dkms" "$top/usr/sbin/dkms"
	cp "$1/etc/dkms/framework.conf" "$top/etc/dkms/"
	for m in "$release" 6.1.0-old; do
		mkdir -p "$top/usr/lib/modules/$m"
		ln -s "/usr/src/linux-headers-$release" "$top/usr/lib/modules/$m/build"
	done
	ln -s gcc-14 "$top/usr/bin/gcc"
	echo 'ID=debian' >"$top/etc/os-release"
}

# dkms_build RELEASE: its module comes to $work.
dkms_build()
{
	rm -rf "$work/root" "$work/over"
	mkdir "$work/root" "$work/over"
	# shellcheck disable=SC2016
	unshare -m sh -c '
		mount -t tmpfs tmpfs "$1/over" && mkdir "$1/over/upper" "$1/over/work" &&
		cp -r "$1/top/." "$1/over/upper/" &&
		mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/over/upper,workdir=$1/over/work" "$1/root" &&
		mount -t proc proc "$1/root/proc" && touch "$1/root/dev/null" &&
		mount --bind /dev/null "$1/root/dev/null" &&
		chroot "$1/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C \
			bash /usr/sbin/dkms build -m hypertier -v "$3" -k "$4"
		rc=$?
		d=$1/root/var/lib/dkms/hypertier/$3
		cat "$d/build/make.log" "$d/$4/x86_64/log/make.log" 2>/dev/null
		cp "$d/$4/x86_64/module/"hypertier.ko* "$1/" 2>/dev/null
		exit $rc' sh "$work" "$root" "$version" "$1" >"$log" 2>&1
}

# try NAME FOLDER: with the dkms below that folder
try()
{
	name="dkms $(grep -m 1 -oE 'dkms-[0-9.]+' "$2/usr/sbin/dkms" | cut -d- -f2), $1:"
	log=$PWD/build/results/dkms-$1.log
	rm -f "$work"/hypertier.ko*
	lay_out "$2"
	dkms_build "$release"
	check "$name builds" 0 $?
	lacks "... without warnings" "$log" 'warning:|WARNING:|Skipping BTF|Error!'
	[ ! -f "$work/hypertier.ko.xz" ] || xz -d "$work/hypertier.ko.xz"
	[ -f "$work/hypertier.ko" ] || { not_ok "... a module"; tail -n 25 "$log" | sed 's/^/# /'; return; }
	check "... a module with BTF" 1 "$(readelf -SW "$work/hypertier.ko" | grep -c ' \.BTF ')"
	cp "$work/hypertier.ko" "$work/$1.ko"
	dkms_build 6.1.0-old
	check "... and passes over a kernel that is too old" 77 $?
}

PREFIX=/usr DESTDIR=$work/stage packaging/install --package dkms >"$work/log" 2>&1
check "packaging/install lays out the source" 0 $?
src=$(find "$work/stage/usr/src" -name dkms.conf -printf '%h\n' | head -n 1)
version=${src##*-}
if [ -f build/lab/dkms/usr/sbin/dkms ]; then
	try lab build/lab/dkms
	[ ! -f "$work/lab.ko" ] || boot dkms guest-dkms.sh -k $k -P -s smp=1 -f "$work/lab.ko:build/kmod/hypertier.ko"
else
	skip dkms "not fetched: tools/setup --kernels $k --modules"
fi
[ ! -x /usr/sbin/dkms ] || try machine /
exit $((failed > 0))
