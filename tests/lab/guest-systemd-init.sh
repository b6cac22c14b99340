#!/bin/busybox sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# Process 1 of a guest with systemd: what the lab's own init does up to the command, then the Debian of
# debian.tar as root and its systemd as process 1. It starts lab.target, which runs the test's script.
sed '/^mount_all$/,$d' /init >/init.functions
. /init.functions
mount_all
load_modules
wait_for_ports
hostname lab
echo started >/dev/vport0p4
mkdir /d
mount -t tmpfs -o size=75% tmpfs /d
tar -x -f /ht/debian.tar -C /d || give_up "cannot unpack debian.tar"
rm /ht/debian.tar
mkdir -p /d/ht /d/out
mount --bind /ht /d/ht
for m in proc sys dev run; do
	mount --move /$m /d/$m
done
cd /d || give_up "no /d"
mount --move . /
unset LD_LIBRARY_PATH
exec chroot . /usr/lib/systemd/systemd --unit=lab.target --show-status=0 --log-target=journal-or-kmsg
