// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pmu.h"

#define PMU_DIR "%s/bus/event_source/devices/%s"

/* Names become path components: nothing that could leave the directory. */
static bool name_ok(const char *name)
{
	const char *p;

	for (p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
			return false;
	return p != name && p - name < HT_PMU_NAME_LEN;
}

int ht_pmu_open(struct ht_pmu *pmu, const struct ht_roots *roots, const char *name)
{
	uint64_t type;
	int err;

	memset(pmu, 0, sizeof(*pmu));
	if (!name_ok(name))
		return -EINVAL;
	pmu->roots = roots;
	snprintf(pmu->name, sizeof(pmu->name), "%s", name);
	err = ht_read_u64(&type, PMU_DIR "/type", roots->sys, name);
	if (err)
		return err;
	if (type > UINT32_MAX)
		return -EINVAL;
	pmu->type = type;
	/* Hybrid core PMUs list their CPUs in "cpus"; a PMU with neither file is on all of them. */
	if (ht_read_str(pmu->cpus, sizeof(pmu->cpus), PMU_DIR "/cpus", roots->sys, name) < 0 &&
	    ht_read_str(pmu->cpus, sizeof(pmu->cpus), PMU_DIR "/cpumask", roots->sys, name) < 0)
		pmu->cpus[0] = '\0';
	return 0;
}

static ssize_t pmu_read(const struct ht_pmu *pmu, char *buf, size_t size, const char *dir,
			const char *name)
{
	if (!name_ok(name))
		return -EINVAL;
	return ht_read_str(buf, size, PMU_DIR "/%s/%s", pmu->roots->sys, pmu->name, dir, name);
}

bool ht_pmu_has_event(const struct ht_pmu *pmu, const char *event)
{
	char buf[8];

	return pmu_read(pmu, buf, sizeof(buf), "events", event) > 0;
}

bool ht_pmu_has_format(const struct ht_pmu *pmu, const char *term)
{
	char buf[8];

	return pmu_read(pmu, buf, sizeof(buf), "format", term) > 0;
}

int ht_pmu_cap(const struct ht_pmu *pmu, const char *cap, uint64_t *val)
{
	if (!name_ok(cap))
		return -EINVAL;
	return ht_read_u64(val, PMU_DIR "/caps/%s", pmu->roots->sys, pmu->name, cap);
}

/* One range of "config1:0-15,32" after the colon; moves *p behind it. */
static int next_bits(const char **p, unsigned int *lo, unsigned int *hi)
{
	unsigned long first, last;
	char *end;

	if (!isdigit((unsigned char)**p))
		return -EINVAL;
	first = last = strtoul(*p, &end, 10);
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]))
			return -EINVAL;
		last = strtoul(end + 1, &end, 10);
	}
	if (first > last || last > 63)
		return -EINVAL;
	*lo = first;
	*hi = last;
	if (*end == ',' && end[1])
		end++;
	else if (*end)
		return -EINVAL;
	*p = end;
	return 0;
}

static uint64_t low_bits(unsigned int nr)
{
	return nr >= 64 ? ~0ULL : (1ULL << nr) - 1;
}

/* Spreads val, lowest bits first, over the ranges of bits; what is set there already goes. */
static int spread(uint64_t *word, const char *bits, uint64_t val)
{
	uint64_t set = *word, mask;
	unsigned int lo, hi, nr;
	int err;

	if (!*bits)
		return -EINVAL;
	while (*bits) {
		err = next_bits(&bits, &lo, &hi);
		if (err)
			return err;
		nr = hi - lo + 1;
		mask = low_bits(nr);
		set = (set & ~(mask << lo)) | (val & mask) << lo;
		val = nr >= 64 ? 0 : val >> nr;
	}
	if (val)
		return -ERANGE;
	*word = set;
	return 0;
}

/* "config", "config1", "config2" -> 0, 1, 2. */
static int word_index(const char *s, size_t len)
{
	if (len < 6 || len > 7 || strncmp(s, "config", 6))
		return -EINVAL;
	if (len == 6)
		return 0;
	return s[6] == '1' || s[6] == '2' ? s[6] - '0' : -EINVAL;
}

int ht_pmu_set(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *term, uint64_t val)
{
	int idx = word_index(term, strlen(term));
	char buf[128], *colon;
	ssize_t len;

	if (idx >= 0) {
		cfg->word[idx] = val;
		return 0;
	}
	len = pmu_read(pmu, buf, sizeof(buf), "format", term);
	if (len < 0)
		return len == -ENOENT ? -EINVAL : len;
	colon = strchr(buf, ':');
	if (!colon)
		return -EINVAL;
	idx = word_index(buf, colon - buf);
	if (idx < 0)
		return idx;
	return spread(&cfg->word[idx], colon + 1, val);
}

/* "umask=0x1" or "edge" (which means 1). */
static int parse_term(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, char *term)
{
	char *eq = strchr(term, '='), *end;
	uint64_t val = 1;

	if (eq) {
		*eq++ = '\0';
		if (!isdigit((unsigned char)*eq))
			return -EINVAL;
		errno = 0;
		val = strtoull(eq, &end, 0);
		if (*end || errno)
			return -EINVAL;
	}
	return ht_pmu_set(pmu, cfg, term, val);
}

int ht_pmu_parse(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *text)
{
	struct ht_pmu_config tmp = *cfg;
	char buf[256], *save = NULL, *term;
	int err;

	if (strlen(text) >= sizeof(buf) || !*text)
		return -EINVAL;
	strcpy(buf, text);
	for (term = strtok_r(buf, ",", &save); term; term = strtok_r(NULL, ",", &save)) {
		err = parse_term(pmu, &tmp, term);
		if (err)
			return err;
	}
	*cfg = tmp;
	return 0;
}

int ht_pmu_event(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, const char *event)
{
	char buf[256];
	ssize_t len = pmu_read(pmu, buf, sizeof(buf), "events", event);

	return len < 0 ? (int)len : ht_pmu_parse(pmu, cfg, buf);
}

/* The value of a "key\t: value" line, NULL when the line has another key. */
static char *cpuinfo_value(char *line, const char *key)
{
	size_t len = strlen(key);
	char *p = line + len;

	if (strncmp(line, key, len))
		return NULL;
	p += strspn(p, " \t");
	if (*p != ':')
		return NULL;
	p += 1 + strspn(p + 1, " \t");
	p[strcspn(p, "\n")] = '\0';
	return p;
}

static void cpuinfo_line(struct ht_cpu_info *cpu, char *line)
{
	char *v;

	if ((v = cpuinfo_value(line, "vendor_id")))
		snprintf(cpu->vendor, sizeof(cpu->vendor), "%.15s", v);
	else if ((v = cpuinfo_value(line, "model name")))
		snprintf(cpu->model, sizeof(cpu->model), "%.63s", v);
	else if ((v = cpuinfo_value(line, "cpu family")))
		cpu->family = strtoul(v, NULL, 10);
	else if ((v = cpuinfo_value(line, "model")))
		cpu->model_nr = strtoul(v, NULL, 10);
	else if ((v = cpuinfo_value(line, "flags")))
		cpu->hypervisor = strstr(v, " hypervisor") != NULL;
}

void ht_cpu_info_read(struct ht_cpu_info *cpu, const struct ht_roots *roots)
{
	char path[512], line[8192];
	FILE *f;

	memset(cpu, 0, sizeof(*cpu));
	snprintf(path, sizeof(path), "%s/cpuinfo", roots->proc);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f) && line[0] != '\n')
		cpuinfo_line(cpu, line);
	fclose(f);
}
