// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* vsend CID PORT: sends stdin over a vsock connection, as fast as it is taken. Status 1: it was
 * refused. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int main(int argc, char **argv)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK };
	char buf[4096];
	ssize_t n;
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (argc != 3 || fd < 0)
		return 2;
	sa.svm_cid = strtoul(argv[1], NULL, 10);
	sa.svm_port = strtoul(argv[2], NULL, 10);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		perror("vsend");
		return 1;
	}
	while ((n = read(0, buf, sizeof(buf))) > 0)
		if (send(fd, buf, n, MSG_NOSIGNAL) != n)
			return 1;
	return 0;
}
