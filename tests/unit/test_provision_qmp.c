// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The monitor: against the lab's QEMU with two virtio-mem devices and no guest, and against a
 * server that drops, hangs, floods and talks nonsense.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "test_util.h"

#include <json-c/json.h>

#include "../../provision/config.h"
#include "log.h"
#include "patience.h"
#include "../../loader/replace.h"
#include "../../provision/state.h"
#include "../../provision/vm.h"

#define MIB (1ULL << 20)
#define QEMU "build/lab/bin/qemu-system-x86_64"

static char dir[] = "/tmp/ht-qmp-XXXXXX";
static char path[64];
static struct pv_config conf;

/* The only clock that the monitor sees, too: with patience, all its deadlines are as much later. */
static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000) / patience();
}

static struct pv_vm *make_vm(unsigned int timeout_ms)
{
	struct pv_vm_config v = { .name = "a", .trust = PV_TRUST_SHAPE };
	struct pv_vm *vm;

	strcpy(v.qmp, path);
	strcpy(v.tier[0].device, "vmem0");
	strcpy(v.tier[1].device, "vmem1");
	v.tier[0].limit = v.tier[1].limit = 1ULL << 40;
	v.tier[0].rate = v.tier[1].rate = 1ULL << 40;
	v.tier[0].weight = v.tier[1].weight = 1;
	conf.qmp_timeout_ms = timeout_ms;
	vm = pv_vm_new(&conf, &v);
	assert_non_null(vm);
	return vm;
}

static void turn(struct pv_vm *vm)
{
	struct pollfd p = { .fd = vm->qmp.fd, .events = pv_qmp_events(&vm->qmp) };

	poll(&p, 1, 5);
	pv_vm_io(vm, p.revents, 0, now_ms());
}

#define UNTIL(vm, condition)                                                                       \
	do {                                                                                       \
		uint64_t end_ = now_ms() + 8000;                                                   \
		while (!(condition) && now_ms() < end_)                                            \
			turn(vm);                                                                  \
		assert_true(condition);                                                            \
	} while (0)

/* ---- QEMU */

static pid_t start_qemu(void)
{
	char chardev[128];
	pid_t pid;

	snprintf(chardev, sizeof(chardev), "socket,id=qmp,path=%s,server=on,wait=off", path);
	pid = fork();
	if (pid)
		return pid;
	signal(SIGTERM, SIG_DFL);
	execl(QEMU, QEMU, "-machine", "q35", "-accel", "tcg", "-nodefaults", "-no-user-config",
	      "-vga", "none", "-display", "none", "-S", "-m", "128M,slots=4,maxmem=1152M",
	      "-object", "memory-backend-ram,id=m0,size=64M", "-object",
	      "memory-backend-ram,id=m1,size=64M", "-numa", "node,nodeid=0,memdev=m0,cpus=0",
	      "-numa", "node,nodeid=1,memdev=m1", "-object", "memory-backend-ram,id=v0,size=512M",
	      "-object", "memory-backend-ram,id=v1,size=512M", "-device",
	      "virtio-mem-pci,id=vmem0,memdev=v0,node=0,requested-size=0", "-device",
	      "virtio-mem-pci,id=vmem1,memdev=v1,node=1,requested-size=0", "-chardev", chardev,
	      "-mon", "chardev=qmp,mode=control", (char *)NULL);
	_exit(127);
}

static bool is_there(const char *file)
{
	struct stat st;

	return !stat(file, &st);
}

static void test_qemu(void **state)
{
	struct pv_vm *vm;
	pid_t pid;
	int status;

	if (access(QEMU, X_OK)) {
		print_message("no " QEMU ": tools/setup\n");
		skip();
	}
	pid = start_qemu();
	vm = make_vm(5000);
	UNTIL(vm, vm->answered);
	assert_true(vm->known && vm->pid == pid && vm->pid_start);
	UNTIL(vm, vm->halted); /* started with -S */
	assert_int_equal(pv_vm_state(vm), PV_VM_HALTED);
	assert_int_equal(vm->share[0].max, 512 * MIB);
	assert_true(vm->share[0].block && vm->share[0].size == 0 && vm->share[0].requested == 0);
	/* Both devices, up and down. What was asked counts from the moment it may have an effect.
	 */
	vm->share[0].next = 64 * MIB;
	vm->share[1].next = 128 * MIB;
	pv_vm_ask(vm, 0, &conf, now_ms());
	pv_vm_ask(vm, 1, &conf, now_ms());
	assert_int_equal(vm->share[0].requested, 64 * MIB);
	UNTIL(vm, !vm->setting[0] && !vm->setting[1] && !vm->polled && !vm->qmp.nr_queue);
	assert_int_equal(vm->share[0].requested, 64 * MIB);
	assert_int_equal(vm->share[1].requested, 128 * MIB);
	vm->share[0].next = 32 * MIB;
	pv_vm_ask(vm, 0, &conf, now_ms());
	assert_int_equal(vm->share[0].requested, 64 * MIB);
	UNTIL(vm, vm->share[0].requested == 32 * MIB);
	/* What the hypervisor refuses is undone by its next word. */
	vm->share[0].next = 32 * MIB + 4096;
	pv_vm_ask(vm, 0, &conf, now_ms());
	UNTIL(vm, vm->failures == 1);
	pv_vm_query(vm, now_ms());
	UNTIL(vm, !vm->polled);
	assert_int_equal(vm->share[0].requested, 32 * MIB);
	/* Killed: what it held is free, as nobody holds it. */
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	UNTIL(vm, !vm->known);
	assert_int_equal(pv_vm_state(vm), PV_VM_ABSENT);
	assert_int_equal(vm->share[1].requested, 0);
	pv_vm_free(vm);
}

/* A monitor takes one client: the second waits its turn, and gets it. */
static void test_qemu_monitor_taken(void **state)
{
	struct pv_vm *first, *second;
	pid_t pid;
	int status;

	if (access(QEMU, X_OK))
		skip();
	pid = start_qemu();
	first = make_vm(5000);
	UNTIL(first, first->answered);
	second = make_vm(300);
	UNTIL(second, second->qmp.drops >= 1);
	assert_int_equal(pv_vm_state(second), PV_VM_ABSENT);
	pv_vm_free(first);
	UNTIL(second, second->answered);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	pv_vm_free(second);
}

/* ---- a server of our own */

static int listen_fd = -1, peer_fd = -1;

static void stop_serving(void)
{
	if (listen_fd >= 0)
		close(listen_fd);
	if (peer_fd >= 0)
		close(peer_fd);
	listen_fd = peer_fd = -1;
	unlink(path);
}

static void serve(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	/* What a test left that failed: the next one is to fail of its own reasons only. */
	stop_serving();
	strcpy(sa.sun_path, path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listen_fd, 1), 0);
}

static void say(const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(peer_fd, text, len, MSG_NOSIGNAL), len);
}

static void accept_one(struct pv_vm *vm)
{
	uint64_t end = now_ms() + 5000;

	while (peer_fd < 0 && now_ms() < end) {
		turn(vm);
		peer_fd = accept(listen_fd, NULL, NULL);
	}
	assert_true(peer_fd >= 0);
}

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define DEVICE(id, size, req)                                                                      \
	"{\"type\":\"virtio-mem\",\"data\":{\"id\":\"" id "\",\"size\":" size                      \
	",\"requested-size\":" req                                                                 \
	",\"max-size\":536870912,\"block-size\":2097152,\"node\":0,\"memdev\":\"/x\"}}"
#define DEVICES(id)                                                                                \
	"{\"return\":[" DEVICE("vmem0", "67108864",                                                \
			       "67108864") "," DEVICE("vmem1", "0", "0") "],\"id\":" id "}\r\n"
#define RUNNING(id) "{\"return\":{\"status\":\"running\",\"running\":true},\"id\":" id "}\r\n"

static struct pv_vm *ready_vm(void)
{
	struct pv_vm *vm = make_vm(300);

	serve();
	accept_one(vm);
	say(GREETING);
	UNTIL(vm, vm->qmp.in_flight);
	say("{\"return\":{},\"id\":1}\r\n");
	UNTIL(vm, vm->qmp.state == PV_QMP_READY && vm->qmp.in_flight);
	say(DEVICES("2"));
	UNTIL(vm, vm->answered && vm->qmp.in_flight);
	say(RUNNING("3"));
	UNTIL(vm, !vm->qmp.in_flight);
	assert_int_equal(pv_vm_state(vm), PV_VM_READY);
	return vm;
}

/* Until it drops; it may then not believe less to be held than before. */
static void dropped(struct pv_vm *vm, const char *why)
{
	UNTIL(vm, vm->qmp.drops == 1);
	assert_non_null(strstr(vm->qmp.why, why));
	assert_int_equal(pv_vm_state(vm), vm->known ? PV_VM_DEAF : PV_VM_ABSENT);
	if (vm->known)
		assert_int_equal(pv_held(&vm->share[0]), 64 * MIB);
	pv_vm_free(vm);
	stop_serving();
}

static void test_no_greeting(void **state)
{
	static const char *const bad[] = { "HTTP/1.0 200 OK\r\n", "[]\r\n", "{}\r\n",
					   "{\"QMP\":1}\r\n" };

	for (size_t i = 0; i < 4; i++) {
		struct pv_vm *vm = make_vm(300);

		serve();
		accept_one(vm);
		say(bad[i]);
		dropped(vm, i == 0 || i == 1 ? "no valid QMP message" : "not a QMP monitor");
	}
}

static void test_silence(void **state)
{
	struct pv_vm *vm = make_vm(200);
	uint64_t from = now_ms();

	serve();
	accept_one(vm);
	dropped(vm, "no QMP answer in time");
	assert_true(now_ms() - from >= 200 && now_ms() - from < 3000);
}

static void test_hang_after_asking(void **state)
{
	struct pv_vm *vm = ready_vm();

	pv_vm_query(vm, now_ms());
	UNTIL(vm, vm->qmp.in_flight);
	say("{\"event\":\"NOISE\",\"data\":{}}\r\n"); /* is no answer */
	dropped(vm, "no QMP answer in time");
}

static void test_nonsense(void **state)
{
	static const char *const bad[] = {
		"\x01\x02garbage\r\n",
		"{\"return\":[\r\n",
		"{\"return\":{},\"id\":99}\r\n",
		"{\"return\":{}}\r\n",
		"{\"what\":1}\r\n",
		"[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]\r\n",
		"{\"return\":1,\"id\":4} trailing\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct pv_vm *vm = ready_vm();

		pv_vm_query(vm, now_ms());
		UNTIL(vm, vm->qmp.in_flight);
		say(bad[i]);
		dropped(vm, "no valid QMP message");
	}
}

/* Well-formed, but no sizes that a device can have: not believed. */
static void test_absurd_sizes(void **state)
{
	static const char *const bad[] = {
		"{\"return\":null,\"id\":4}\r\n",
		"{\"return\":{\"a\":[]},\"id\":4}\r\n",
		"{\"return\":[1,null,{},{\"type\":\"virtio-mem\"}],\"id\":4}\r\n",
		"{\"return\":[" DEVICE("vmem0", "-1", "0") "],\"id\":4}\r\n",
		"{\"return\":[" DEVICE("vmem0", "9223372036854775807", "0") "],\"id\":4}\r\n",
		"{\"return\":[" DEVICE("vmem0", "\"x\"", "0") "],\"id\":4}\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct pv_vm *vm = ready_vm();

		pv_vm_query(vm, now_ms());
		UNTIL(vm, vm->qmp.in_flight);
		say(bad[i]);
		UNTIL(vm, !vm->answered);
		assert_int_equal(pv_vm_state(vm), PV_VM_DEAF);
		assert_int_equal(pv_held(&vm->share[0]), 64 * MIB);
		pv_vm_free(vm);
		stop_serving();
	}
}

static void test_flood(void **state)
{
	struct pv_vm *vm = ready_vm();
	char block[4096];
	size_t sent = 0;

	memset(block, 'x', sizeof(block));
	fcntl(peer_fd, F_SETFL, O_NONBLOCK);
	while (!vm->qmp.drops && sent < 16 * MIB) {
		ssize_t n = send(peer_fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? n : 0;
		turn(vm);
	}
	assert_true(sent <= PV_QMP_LINE + (1 << 20));
	dropped(vm, "too long");
}

/* Events without end: bounded work until the next decision, and then some more. */
static void test_event_flood(void **state)
{
	struct pv_vm *vm = ready_vm();
	char text[8192] = "";
	uint64_t end = now_ms() + 30000;

	while (strlen(text) + 64 < sizeof(text))
		strcat(text, "{\"event\":\"RTC_CHANGE\",\"data\":{\"offset\":1}}\r\n");
	fcntl(peer_fd, F_SETFL, O_NONBLOCK);
	/* Whole texts only, or what comes after it would be no message. */
	while (vm->qmp.budget && now_ms() < end) {
		size_t off = 0;

		while (off < strlen(text) && now_ms() < end) {
			ssize_t n = send(peer_fd, text + off, strlen(text) - off, MSG_NOSIGNAL);

			off += n > 0 ? n : 0;
			turn(vm);
			if (!vm->qmp.budget)
				break;
		}
	}
	assert_int_equal(vm->qmp.budget, 0);
	assert_int_equal(pv_qmp_events(&vm->qmp) & POLLIN, 0);
	assert_int_equal(vm->qmp.drops, 0);
	pv_qmp_refill(&vm->qmp);
	assert_true(pv_qmp_events(&vm->qmp) & POLLIN);
	pv_vm_free(vm);
	stop_serving();
}

/* How far a guest's word goes: not at all, its shape, its rate as well; nowhere after nonsense. */
static void test_trust(void **state)
{
	static const char line[] =
		"{\"v\":1,\"seq\":1,\"epoch_ms\":500,\"capacity\":67108864,\"fast\":67108864,"
		"\"slow\":0,\"hot\":33554432,\"share\":1,\"accesses\":5e6,\"refault\":0,"
		"\"waste\":0,\"curve\":[[0,0],[33554432,0.95],[67108864,1]]}\n";
	struct pv_vm *vm = ready_vm();
	struct pv_share *s = &vm->share[0];
	uint64_t now = now_ms();

	conf.rules = (struct pv_rules){ .worth = 0.5, .confirm = 1, .report_stale = 15000 };
	vm->cfg.trust = PV_TRUST_NONE;
	pv_channel_feed(&vm->chan, line, strlen(line), now);
	pv_vm_prepare(vm, &conf, false, now);
	assert_true(s->demand == PV_UNKNOWN && !s->nr_curve && s->value == 1);
	vm->cfg.trust = PV_TRUST_SHAPE;
	pv_channel_feed(&vm->chan, line, strlen(line), now);
	pv_vm_prepare(vm, &conf, false, now);
	assert_true(s->demand != PV_UNKNOWN && s->nr_curve && s->value == 1);
	vm->cfg.trust = PV_TRUST_RATE;
	pv_vm_prepare(vm, &conf, false, now);
	assert_true(s->value == 5);
	/* What is too old counts no more; who talks nonsense wants nothing, for some time. */
	pv_vm_prepare(vm, &conf, false, now + 15001);
	assert_true(s->demand == PV_UNKNOWN && s->value == 1);
	for (int i = 0; i < PV_CHANNEL_OFFENCES; i++)
		pv_channel_feed(&vm->chan, "nonsense\n", 9, now);
	pv_channel_feed(&vm->chan, line, strlen(line), now);
	pv_vm_prepare(vm, &conf, false, now);
	assert_true(s->demand == 0 && !s->nr_curve && vm->abuse);
	pv_channel_feed(&vm->chan, line, strlen(line), now + PV_CHANNEL_ABUSE_MS + 1);
	pv_vm_prepare(vm, &conf, false, now + PV_CHANNEL_ABUSE_MS + 1);
	assert_true(s->demand != 0 && s->nr_curve && !vm->abuse);
	pv_vm_free(vm);
	stop_serving();
}

/* The control group's limit is what the VM may hold and what it has besides. */
static void test_confine(void **state)
{
	struct pv_vm *vm = ready_vm();
	char dir[] = "/tmp/ht-cgroup-XXXXXX", file[64], text[32] = "";
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/memory.max", dir);
	strcpy(vm->cfg.cgroup, dir);
	vm->cfg.overhead = 100 * MIB;
	vm->share[0].size = 64 * MIB;
	vm->share[0].requested = 32 * MIB;
	vm->share[1].size = 0;
	vm->share[1].requested = 16 * MIB;
	pv_vm_confine(vm);
	assert_true(vm->unconfined && !vm->confined);
	close(open(file, O_WRONLY | O_CREAT, 0600));
	vm->dry_run = true;
	pv_vm_confine(vm);
	assert_int_equal(vm->confined, 0);
	vm->dry_run = false;
	pv_vm_confine(vm);
	assert_int_equal(vm->confined, 180 * MIB);
	f = fopen(file, "r");
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_int_equal(strtoull(text, NULL, 10), 180 * MIB);
	unlink(file);
	rmdir(dir);
	pv_vm_free(vm);
	stop_serving();
}

static void test_drop_and_come_back(void **state)
{
	struct pv_vm *vm = ready_vm();

	vm->share[0].next = 96 * MIB;
	pv_vm_ask(vm, 0, &conf, now_ms());
	UNTIL(vm, vm->qmp.in_flight);
	close(peer_fd);
	peer_fd = -1;
	UNTIL(vm, vm->qmp.drops == 1);
	/* Nobody knows whether that was done: it may hold so much. The process is there: still
	 * deaf. */
	assert_int_equal(pv_held(&vm->share[0]), 96 * MIB);
	assert_int_equal(pv_vm_state(vm), PV_VM_DEAF);
	accept_one(vm);
	say(GREETING);
	UNTIL(vm, vm->qmp.in_flight);
	say("{\"return\":{},\"id\":5}\r\n");
	UNTIL(vm, vm->qmp.state == PV_QMP_READY && vm->qmp.in_flight);
	say(DEVICES("6"));
	UNTIL(vm, vm->answered);
	assert_int_equal(pv_held(&vm->share[0]), 64 * MIB);
	pv_vm_free(vm);
	stop_serving();
}

/* ---- the state file */

static void test_state(void **state)
{
	struct pv_vm *vm = ready_vm(), *copy;
	char file[96], tmp[128];
	struct json_object *o;
	const char *text;
	bool paused;

	snprintf(file, sizeof(file), "%s/state", dir);
	snprintf(tmp, sizeof(tmp), "%s.tmp", file);
	vm->paused = true;
	vm->share[0].strikes = 3;
	vm->share[0].backoff_until = now_ms() + 60000;
	vm->share[0].demand = 42 * MIB;
	vm->share[0].requested = 32 * MIB;
	vm->share[0].progress_at = now_ms() - 20000;
	vm->share[0].nr_curve = 2;
	vm->share[0].curve[1] = (struct ht_guest_point){ 42 * MIB, 0.5 };
	o = pv_state_make(&vm, 1, true, now_ms());
	text = json_object_to_json_string(o);
	assert_int_equal(ht_replace_file(file, text, strlen(text), 0600, true), 0);
	assert_false(is_there(tmp));
	json_object_put(o);
	assert_int_equal(pv_state_read(file, &o), 0);
	copy = make_vm(300);
	assert_int_equal(pv_state_apply(o, &conf, &copy, 1, &paused, now_ms()), 0);
	json_object_put(o);
	assert_true(paused && copy->paused && copy->known);
	assert_int_equal(pv_held(&copy->share[0]), 64 * MIB);
	assert_int_equal(copy->share[0].strikes, 3);
	assert_in_range(now_ms() - copy->share[0].progress_at, 19000, 23000);
	assert_true(copy->share[0].backoff_until > now_ms() + 50000);
	assert_int_equal(copy->share[0].demand, 42 * MIB);
	assert_int_equal(copy->share[0].nr_curve, 2);
	pv_vm_free(copy);
	pv_vm_free(vm);
	stop_serving();
	unlink(file);
}

/* A process that is another one by now held nothing of this VM's. */
static void test_state_of_a_dead_one(void **state)
{
	struct json_object *o = json_tokener_parse(
		"{\"version\":1,\"paused\":false,\"vms\":{\"a\":{\"known\":true,\"pid\":1,"
		"\"pid_start\":123456789,\"fast\":{\"size\":67108864,\"requested\":67108864}}}}");
	struct pv_vm *vm = make_vm(300);
	bool paused;

	assert_int_equal(pv_state_apply(o, &conf, &vm, 1, &paused, now_ms()), 0);
	assert_false(vm->known);
	assert_int_equal(pv_held(&vm->share[0]), 0);
	json_object_put(o);
	pv_vm_free(vm);
}

static void test_bad_state(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "{}", "{\"version\":2,\"vms\":{}}", "{\"version\":1,\"vms\":[]}"
	};
	struct pv_vm *vm = make_vm(300);
	struct json_object *o;
	char file[96];
	bool paused;

	snprintf(file, sizeof(file), "%s/state", dir);
	assert_int_equal(pv_state_read(file, &o), -ENOENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ht_replace_file(file, bad[i], strlen(bad[i]), 0600, true);
		if (!pv_state_read(file, &o))
			assert_int_equal(pv_state_apply(o, &conf, &vm, 1, &paused, now_ms()),
					 -EBADMSG);
		json_object_put(o);
	}
	unlink(file);
	assert_int_equal(ht_replace_file("/proc/none/such", "x", 1, 0600, true), -ENOENT);
	pv_vm_free(vm);
}

/* A VM of fixed size: the slow device makes up for the fast one, and first. */
static void test_total(void **state)
{
	struct pv_vm *vm = make_vm(300);
	struct pv_share *fast = &vm->share[0], *slow = &vm->share[1];

	vm->cfg.total = 256 * MIB;
	fast->block = slow->block = 2 * MIB;
	fast->max = slow->max = 512 * MIB;
	fast->size = fast->requested = fast->next = 160 * MIB;
	slow->size = slow->requested = 96 * MIB;
	/* The fast one is to fall to 64: not before the slow one has grown. */
	pv_vm_prepare(vm, &conf, false, now_ms());
	assert_int_equal(fast->need, 160 * MIB);
	fast->target = 64 * MIB;
	pv_vm_couple(vm);
	assert_int_equal(slow->guarantee, 192 * MIB);
	slow->requested = 192 * MIB;
	slow->size = 128 * MIB;
	pv_vm_prepare(vm, &conf, false, now_ms());
	assert_int_equal(fast->need, 128 * MIB);
	/* And on the way up the slow one stays until the fast one has its memory. */
	fast->size = 64 * MIB;
	fast->requested = fast->next = fast->target = 160 * MIB;
	pv_vm_prepare(vm, &conf, false, now_ms());
	pv_vm_couple(vm);
	assert_int_equal(slow->guarantee, 192 * MIB);
	fast->size = 160 * MIB;
	pv_vm_prepare(vm, &conf, false, now_ms());
	pv_vm_couple(vm);
	assert_int_equal(slow->guarantee, 96 * MIB);
	pv_vm_free(vm);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/qmp", dir);
	ht_log_set_level(HT_LOG_NONE);
	pv_config_init(&conf);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qemu),
		cmocka_unit_test(test_qemu_monitor_taken),
		cmocka_unit_test(test_no_greeting),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_hang_after_asking),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_absurd_sizes),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_event_flood),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_confine),
		cmocka_unit_test(test_drop_and_come_back),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_of_a_dead_one),
		cmocka_unit_test(test_bad_state),
		cmocka_unit_test(test_total),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
