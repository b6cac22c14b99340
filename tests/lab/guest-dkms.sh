#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# A kernel helper that was built by DKMS. See test_dkms.sh.
. tests/lab/lib.sh
begin

insmod build/kmod/hypertier.ko exchange=1
check "the kernel loads the module" 0 $?
hypertier-load features >/tmp/features 2>&1
contains "features names the backend" /tmp/features 'yes exchange'
contains "... and the hook" /tmp/features 'yes struct_ops'
rmmod hypertier
check "it unloads" 0 $?
finish
