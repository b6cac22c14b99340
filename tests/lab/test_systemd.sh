#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The packages, installed, under systemd as process 1 of a guest: readiness, what the unit lets the
# loader do, death, hang, a policy that does not load, reload, stop.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
export BUILD=${BUILD:-build}
if [[ $(id -u) -ne 0 || ! -x $BUILD/lab/chroot/usr/lib/systemd/systemd ]]; then
	skip "the service under systemd" "needs root, and tools/setup --chroot"
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$dir/root

in_root()
{
	unshare -m bash -c 'mount --rbind /proc "$0/proc"
		exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"' \
		"$root" "$@"
}

# What the guest has no use for stays here: it all goes through memory.
make_root()
{
	mkdir "$root"
	tar -c -C "$BUILD/lab/chroot" --exclude=./usr/include --exclude='*perl*' --exclude='*.a' --exclude=gconv \
		--exclude=./usr/share/i18n --exclude=./usr/share/zoneinfo --exclude=./usr/lib/udev/hwdb.d . | tar -x -C "$root"
	# test_install.sh makes them as well.
	flock "$BUILD/packages.lock" sh -c 'make -s deb && cp "$0"/deb/hypertier-tools_*.deb "$1"' "$BUILD" "$root/tmp/" \
		>"$dir/deb.log" 2>&1 || return
	in_root sh -c 'dpkg -i /tmp/*.deb' >>"$dir/deb.log" 2>&1 || return
	rm "$root"/tmp/*.deb
	# What the maintainer scripts of an unpacked Debian would have made.
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\n' >"$root/etc/group"
	: >"$root/etc/machine-id"
	ln -sf mawk "$root/usr/bin/awk"
	make_units
	tar -c -f "$dir/debian.tar" -C "$root" .
}

# Units that take time here, or the folder that the script uses, and have nothing to do with the one that is tested.
make_units()
{
	local u units=$root/etc/systemd/system

	for u in systemd-{random-seed,sysctl,binfmt,update-utmp,modules-load,journal-flush,journal-catalog-update}.service \
		systemd-{pstore,machine-id-commit,update-done,firstboot,sysusers,tmpfiles-setup,tmpfiles-setup-dev}.service \
		systemd-{tmpfiles-setup-dev-early,hwdb-update,remount-fs,pcrphase-sysinit,pcrmachine,pcrextend}.service \
		systemd-{ask-password-console,ask-password-wall}.path dev-hugepages.mount dev-mqueue.mount tmp.mount \
		kmod-static-nodes.service modprobe@.service sys-kernel-config.mount sys-fs-fuse-connections.mount \
		sys-kernel-debug.mount sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount swap.target \
		timers.target cryptsetup.target veritysetup.target integritysetup.target; do
		ln -sf /dev/null "$units/$u"
	done
	cat >"$units/lab.service" <<-'END'
		[Unit]
		DefaultDependencies=no
		[Service]
		ExecStart=/bin/sh /ht/tests/lab/guest-systemd.sh
		WorkingDirectory=/ht
		StandardOutput=file:/dev/vport0p1
		StandardError=file:/dev/vport0p2
		ExecStopPost=/bin/sh -c 'echo status $EXIT_STATUS >/dev/vport0p4; systemctl poweroff -ff'
	END
	printf '[Unit]\nDefaultDependencies=no\nWants=lab.service\n' >"$units/lab.target"
}

if ! make_root; then
	not_ok "the packages install (make deb, dpkg -i)"
	tail -n 20 "$dir/deb.log" | sed 's/^/# /'
	exit 1
fi
ok "the packages install"
sizes="-s node0_size=640M -s node1_size=512M"
boot systemd guest-systemd.sh -P -a rdinit=/ht/tests/lab/guest-systemd-init.sh -f tests/lab/guest-systemd-init.sh \
	-f "$dir/debian.tar:debian.tar" -f "$BUILD/tests/bpf/bad_verifier.bpf.o:bad.bpf.o"
exit $((failed > 0))
