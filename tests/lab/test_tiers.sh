#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Three tiers, tiers named on the command line, tiers of several nodes.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12

sizes="-s node0_size=176M -s node1_size=256M -s node2_size=384M"
guest_env="PARTS='three_tiers named_tiers'" boot tiers-three guest-tiers.sh -c three-tier

# Two slow nodes of equal figures make one tier.
sizes="-s node0_size=192M -s node1_size=256M -s node2_size=256M"
guest_env="PARTS='two_slow_nodes two_fast_nodes'" boot tiers-nodes guest-tiers.sh -c three-tier \
	-s node2_read_ns=250 -s node2_write_ns=250 -s node2_bandwidth=20480
sizes="-s node0_size=256M -s node1_size=256M -s node2_size=256M"
guest_env="PARTS=memory_comes_later" boot tiers-later guest-tiers.sh -c three-tier \
	-s node2_read_ns=250 -s node2_write_ns=250 -s node2_bandwidth=20480 -s slow_memory=dax
exit $((failed > 0))
