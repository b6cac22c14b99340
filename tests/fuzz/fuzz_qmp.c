// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A hypervisor's monitor: lines as they come through a socket, with the daemon's decisions between
 * them. Commands are numbered from 1, so that the input can answer them.
 */
#include "fuzz.h"

#include <poll.h>
#include <sys/socket.h>

#include "../../provision/vm.h"

static struct pv_config conf;

static struct pv_vm *make_vm(void)
{
	struct pv_vm_config v = { .name = "a", .trust = PV_TRUST_RATE, .total = 3ULL << 30 };
	unsigned int t;

	pv_config_init(&conf);
	for (t = 0; t < PV_TIERS; t++) {
		snprintf(v.tier[t].device, sizeof(v.tier[t].device), "vmem%u", t);
		v.tier[t].limit = 1ULL << 40;
		v.tier[t].rate = 1ULL << 40;
		v.tier[t].guarantee = 1ULL << 30;
		v.tier[t].weight = 1;
	}
	return pv_vm_new(&conf, &v);
}

static void decide(struct pv_vm *v, uint64_t now)
{
	struct pv_pool pool = { .capacity = 1ULL << 41 };
	struct pv_work *w = pv_work_new(1);
	struct pv_share *s;
	unsigned int t;

	pv_vm_prepare(v, &conf, false, now);
	pv_vm_couple(v);
	for (t = 0; t < PV_TIERS; t++) {
		s = &v->share[t];
		FUZZ_ASSERT(s->size <= HT_GUEST_BYTES_MAX && s->requested <= s->max + (1ULL << 41));
		pv_decide(w, &s, 1, &pool, &conf.rules, now, 1000);
		pv_vm_ask(v, t, &conf, now);
	}
	pv_work_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size }, line;
	struct pv_vm *v = make_vm();
	uint64_t now = 1000;
	char sink[8192];
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv))
		abort();
	v->qmp.fd = sv[0];
	v->qmp.state = PV_QMP_GREETING;
	while (in.size && v->qmp.fd >= 0) {
		line = fuzz_cut(&in, '\n');
		if (send(sv[1], line.data, line.size, MSG_NOSIGNAL) < 0 ||
		    send(sv[1], "\n", 1, MSG_NOSIGNAL) < 0)
			break;
		now += 100;
		pv_vm_io(v, POLLIN, 0, now);
		decide(v, now);
		pv_qmp_refill(&v->qmp);
		pv_vm_query(v, now);
		/* Writes what waits. */
		if (v->qmp.fd >= 0)
			pv_vm_io(v, 0, 0, now);
		while (recv(sv[1], sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		FUZZ_ASSERT(v->qmp.nr_queue <= PV_QMP_QUEUE && v->qmp.in_cap <= 2 * PV_QMP_LINE);
	}
	close(sv[1]);
	pv_vm_free(v);
	return 0;
}
