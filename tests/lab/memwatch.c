// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The hypervisors' own figures, from a second QMP monitor of each VM.
 *   memwatch OUT CAPACITY NAME:SOCKET:DEVICE:GUARANTEE...   MiB; until SIGTERM
 *   memwatch --set SOCKET DEVICE MIB
 *   memwatch --take SOCKET MIB		has the hypervisor fill so much memory
 *   memwatch --get SOCKET DEVICE		prints size and requested-size, MiB
 * The first looks at all VMs many times a second and writes "ms name size requested" to OUT
 * whenever something changed. It ends with status 1 if ever a device that had its guarantee fell
 * below it or was asked to, a size was not whole blocks up to the largest, a VM did not run, or
 * more was given away than there is. VMs are looked at one after the other, so memory on its way
 * from one to another could be seen twice: of two looks in a row the smaller counts.
 */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#define MAX_VMS 16
#define PAUSE_NS 40000000
#define MIB 1048576.0

struct vm {
	char *name, *device;
	FILE *in, *out;
	double guarantee, size, requested, max, block, held, before;
	bool reached, gone, running;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = 1;
}

static struct json_object *command(struct vm *v, const char *text)
{
	char *line = NULL;
	size_t cap = 0;
	struct json_object *o = NULL, *ret = NULL;

	fprintf(v->out, "%s\n", text);
	fflush(v->out);
	while (!ret && getline(&line, &cap, v->in) > 0) {
		o = json_tokener_parse(line);
		if (json_object_object_get_ex(o, "return", &ret))
			json_object_get(ret);
		else if (json_object_object_get_ex(o, "error", NULL))
			fprintf(stderr, "memwatch: %s", line);
		json_object_put(o);
	}
	free(line);
	return ret;
}

static bool connect_to(struct vm *v, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		fprintf(stderr, "memwatch: cannot connect to %s: %m\n", path);
		return false;
	}
	v->in = fdopen(fd, "r");
	v->out = fdopen(dup(fd), "w");
	json_object_put(command(v, "{\"execute\":\"qmp_capabilities\"}"));
	return true;
}

/* Of a VM that ends between two answers, nothing is said. */
static bool is_running(struct vm *v)
{
	struct json_object *o = command(v, "{\"execute\":\"query-status\"}"), *r;
	bool running = json_object_object_get_ex(o, "running", &r) && json_object_get_boolean(r);

	v->gone = !o;
	json_object_put(o);
	return running;
}

static double number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) / MIB : -1;
}

/* One look; true if something changed. */
static bool look(struct vm *v)
{
	struct json_object *list = command(v, "{\"execute\":\"query-memory-devices\"}"), *d, *id;
	double size = v->size, requested = v->requested;

	if (!list) {
		v->gone = true;
		return false;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object_object_get_ex(json_object_array_get_idx(list, i), "data", &d);
		if (!json_object_object_get_ex(d, "id", &id) ||
		    strcmp(json_object_get_string(id), v->device))
			continue;
		v->size = number(d, "size");
		v->requested = number(d, "requested-size");
		v->max = number(d, "max-size");
		v->block = number(d, "block-size");
	}
	json_object_put(list);
	v->running = is_running(v);
	v->before = v->held;
	v->held = v->size > v->requested ? v->size : v->requested;
	return size != v->size || requested != v->requested;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool is_valid(const struct vm *v, double size)
{
	return size >= 0 && size <= v->max && v->block > 0 && fmod(size, v->block) == 0;
}

static unsigned int check_vm(struct vm *v)
{
	if (!v->running || !is_valid(v, v->size) || !is_valid(v, v->requested)) {
		printf("memwatch: %s %s, has %.2f MiB, asked %.2f, of %.0f\n", v->name,
		       v->running ? "runs" : "does not run", v->size, v->requested, v->max);
		return 1;
	}
	v->reached |= v->size >= v->guarantee && v->requested >= v->guarantee;
	if (!v->reached || (v->size >= v->guarantee && v->requested >= v->guarantee))
		return 0;
	printf("memwatch: %s has %.0f MiB, asked %.0f, guaranteed %.0f\n", v->name, v->size,
	       v->requested, v->guarantee);
	return 1;
}

static unsigned int check_sum(const struct vm *vm, int nr, double capacity)
{
	double sum = 0;

	for (int i = 0; i < nr; i++)
		if (!vm[i].gone)
			sum += vm[i].held < vm[i].before ? vm[i].held : vm[i].before;
	if (sum <= capacity)
		return 0;
	printf("memwatch: %.0f MiB given away of %.0f\n", sum, capacity);
	return 1;
}

static int watch(FILE *out, double capacity, struct vm *vm, int nr)
{
	unsigned long looks = 0, bad = 0;
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	while (!stop) {
		for (int i = 0; i < nr; i++) {
			if (vm[i].gone)
				continue;
			if (look(&vm[i]))
				fprintf(out, "%ld %s %.0f %.0f\n", now_ms(), vm[i].name, vm[i].size,
					vm[i].requested);
			if (!vm[i].gone)
				bad += check_vm(&vm[i]);
		}
		fflush(out);
		bad += looks++ ? check_sum(vm, nr, capacity) : 0;
		nanosleep(&pause, NULL);
	}
	printf("looks %lu bad %lu\n", looks, bad);
	return bad > 0;
}

static int set(char **arg)
{
	struct vm v = {};
	char text[512];
	struct json_object *ret;

	if (!connect_to(&v, arg[0]))
		return 1;
	snprintf(text, sizeof(text),
		 "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/%s\","
		 "\"property\":\"requested-size\",\"value\":%lld}}",
		 arg[1], atoll(arg[2]) << 20);
	ret = command(&v, text);
	json_object_put(ret);
	return ret ? 0 : 1;
}

static int take(char **arg)
{
	struct vm v = {};
	char text[256];

	if (!connect_to(&v, arg[0]))
		return 1;
	snprintf(text, sizeof(text),
		 "{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"memory-backend-ram\","
		 "\"id\":\"taken\",\"size\":%lld,\"prealloc\":true}}",
		 atoll(arg[1]) << 20);
	json_object_put(command(&v, text));
	return 0;
}

static int get(char **arg)
{
	struct vm v = { .device = arg[1] };

	if (!connect_to(&v, arg[0]))
		return 1;
	look(&v);
	printf("%.0f %.0f\n", v.size, v.requested);
	return v.gone;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct vm vm[MAX_VMS] = {};
	int nr = argc - 3;
	FILE *out;

	if (argc == 5 && !strcmp(argv[1], "--set"))
		return set(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "--take"))
		return take(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "--get"))
		return get(argv + 2);
	if (nr < 1 || nr > MAX_VMS) {
		fprintf(stderr, "usage: memwatch OUT CAPACITY NAME:SOCKET:DEVICE:GUARANTEE...\n");
		return 2;
	}
	for (int i = 0; i < nr; i++) {
		char *socket;

		vm[i].name = strtok(argv[3 + i], ":");
		socket = strtok(NULL, ":");
		vm[i].device = strtok(NULL, ":");
		vm[i].guarantee = atof(strtok(NULL, ":") ?: "0");
		if (!socket || !vm[i].device || !connect_to(&vm[i], socket))
			return 2;
	}
	out = fopen(argv[1], "w");
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	return out ? watch(out, atof(argv[2]), vm, nr) : 2;
}
