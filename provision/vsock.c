// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Guests that report over vsock connect to one port of the host. The peer's CID, which the host's
 * kernel vouches for, tells whose connection it is; nobody else's is kept.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "../loader/log.h"
#include "daemon.h"

#define BACKLOG 128

void pv_vsock_close(struct pv_daemon *d)
{
	if (d->vsock_fd >= 0)
		close(d->vsock_fd);
	d->vsock_fd = -1;
	d->vsock_port = 0;
}

int pv_vsock_listen(struct pv_daemon *d)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = d->cfg.vsock_port };
	int err;

	if (d->vsock_port == d->cfg.vsock_port)
		return 0;
	pv_vsock_close(d);
	if (!d->cfg.vsock_port)
		return 0;
	d->vsock_fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->vsock_fd >= 0 && !bind(d->vsock_fd, (struct sockaddr *)&sa, sizeof(sa)) &&
	    !listen(d->vsock_fd, BACKLOG)) {
		d->vsock_port = d->cfg.vsock_port;
		return 0;
	}
	err = -errno;
	pv_vsock_close(d);
	pr_err("cannot listen at vsock port %u: %s%s", d->cfg.vsock_port, strerror(-err),
	       err == -EAFNOSUPPORT ? "; load the module vhost_vsock" : "");
	return err;
}

static struct pv_vm *vm_of(const struct pv_daemon *d, unsigned int cid)
{
	size_t i;

	for (i = 0; cid && i < d->cfg.nr_vm; i++)
		if (d->vm[i]->cfg.cid == cid)
			return d->vm[i];
	return NULL;
}

void pv_vsock_accept(struct pv_daemon *d)
{
	for (; d->accepts; d->accepts--) {
		struct sockaddr_vm sa = {};
		socklen_t len = sizeof(sa);
		int fd = accept4(d->vsock_fd, (struct sockaddr *)&sa, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct pv_vm *v;

		if (fd < 0)
			return;
		v = vm_of(d, sa.svm_cid);
		if (v && pv_channel_adopt(&v->chan, fd, d->now))
			continue;
		if (!v)
			pr_debug("a vsock connection from CID %u, which is no VM's", sa.svm_cid);
		close(fd);
	}
}
