#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The vsock path of reports, in one guest: the machine that tests need not have vhost_vsock for that.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
modules=build/lab/kernel/6.12/modules
[ -f $modules/vsock_loopback.ko ] || { skip "reports over vsock" "no module vsock_loopback: tools/setup --force --kernels 6.12"; exit 0; }
set --
for m in vsock vmw_vsock_virtio_transport_common vsock_loopback; do
	set -- "$@" -f $modules/$m.ko:modules/$m.ko
done
boot provision-vsock guest-provision-vsock.sh -f build/hypertier-provision "$@"
exit $((failed > 0))
