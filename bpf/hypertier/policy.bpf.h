/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one header of a policy: brings the maps, the sampler, the sources' programs, target following
 * and the hook. The policy adds its ops and ends with HYPERTIER_OPS_DEFINE().
 */
#ifndef HYPERTIER_POLICY_BPF_H
#define HYPERTIER_POLICY_BPF_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include <hypertier/maps.bpf.h>
#include <hypertier/ops.bpf.h>
#include <hypertier/knob.bpf.h>
#include <hypertier/sources.bpf.h>
#include <hypertier/follow.bpf.h>
#include <hypertier/hook.bpf.h>

char LICENSE[] SEC("license") = "GPL";

#endif
