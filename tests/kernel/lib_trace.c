// SPDX-License-Identifier: LGPL-2.1-or-later
/* How often the module has said something by a tracepoint. */
#include "lib.h"

#define INSTANCES	"/sys/kernel/tracing/instances/vt-"

static int set(const char *event, const char *file, const char *value)
{
	char path[200];

	snprintf(path, sizeof(path), INSTANCES "%s/%s", event, file);
	return file_write(path, value);
}

static int enable(const char *event, bool on)
{
	char file[100];

	snprintf(file, sizeof(file), "events/vmcrypt/%s/enable", event);
	return set(event, file, on ? "1" : "0");
}

void trace_end(const char *event)
{
	char path[200];

	snprintf(path, sizeof(path), INSTANCES "%s", event);
	if (access(path, F_OK))
		return;
	enable(event, false);
	rmdir(path);
}

int trace_begin(const char *event)
{
	char path[200];
	int r;

	/* of a test that was killed */
	trace_end(event);
	snprintf(path, sizeof(path), INSTANCES "%s", event);
	r = mkdir(path, 0700) ? -errno : set(event, "buffer_size_kb", "16");
	return r ? r : enable(event, true);
}

uint64_t trace_times(const char *event)
{
	const long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t sum = 0;

	for (long cpu = 0; cpu < cpus; cpu++) {
		char path[200], stats[1024];
		unsigned long long entries, overrun;

		snprintf(path, sizeof(path), INSTANCES "%s/per_cpu/cpu%ld/stats", event, cpu);
		if (!file_read(path, stats, sizeof(stats)) &&
		    sscanf(stats, "entries: %llu overrun: %llu", &entries, &overrun) == 2)
			sum += entries + overrun;
	}
	return sum;
}
