// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keys for the torture scripts. A key is named by a number, from which it is
 * made, so that the same key can be loaded again.
 *
 *   key set NUMBER            loads it and prints the DEK's UUID
 *   key wipe NUMBER           even while it is in use; waits until it is locked
 *   key rounds COUNT          loads and wipes keys; memory must not grow
 *   key disks COUNT DEVICE    so many disks at once on one device, written, read
 */
#include "lib.h"

#define RCU_MS	6000

static void dek_numbered(struct dek *d, unsigned long number)
{
	uint8_t key[KEY_MAX];

	fill(key, sizeof(key), number);
	dek_from(d, key, sizeof(key));
}

static int set(struct nl *nl, unsigned long number)
{
	struct dek d;
	int r;

	dek_numbered(&d, number);
	r = key_set(nl, &d);
	if (!r)
		puts(d.text);
	return r;
}

static int wipe(struct nl *nl, unsigned long number)
{
	struct dek d;
	int r;

	dek_numbered(&d, number);
	r = key_wipe(nl, d.uuid, WIPE_FORCE);
	return r ? r : key_wait(nl, d.uuid, KEY_LOCKED, 20000);
}

/* where all that a key brings along comes from: the key, its cipher, messages */
static const char *const caches[] = { "kmalloc-", "skbuff_" };

/**
 * struct memory - what a leak would add to
 * @objects: in use, of those caches
 * @kib: per-CPU memory
 */
struct memory {
	unsigned long long objects;
	unsigned long long kib;
};

static bool is_counted(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++)
		if (!strncmp(name, caches[i], strlen(caches[i])))
			return true;
	return false;
}

/*
 * A cache that is shrunk knows exactly what is in use: what the CPUs keep, and
 * what KASAN keeps of it after it was freed, goes.
 */
static int shrink(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", name);
	return file_write(path, "1");
}

static int count_objects(unsigned long long *ret)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	unsigned long long objects;
	char line[512], name[64];

	if (!file)
		return -errno;
	*ret = 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %llu", name, &objects) == 2 && is_counted(name))
			*ret += objects;
	fclose(file);
	return *ret ? 0 : -ENODATA;
}

static int shrink_all(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512], name[64];
	int r = file ? 0 : -errno;

	while (!r && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s", name) == 1 && is_counted(name))
			r = shrink(name);
	if (file)
		fclose(file);
	return r;
}

static int count_memory(struct memory *m)
{
	static char text[16384];
	const char *at;
	int r = shrink_all();

	if (!r)
		r = count_objects(&m->objects);
	if (!r)
		r = file_read("/proc/meminfo", text, sizeof(text));
	if (r)
		return r;
	at = strstr(text, "Percpu:");
	m->kib = at ? strtoull(at + strlen("Percpu:"), NULL, 10) : 0;
	return at ? 0 : -ENODATA;
}

/* one object in 20 rounds is a leak; 8 bytes for each CPU in each round, too */
static bool has_grown(const struct memory *before, const struct memory *after, unsigned long count)
{
	return after->objects > before->objects + count / 20 || after->kib > before->kib + count / 100;
}

static int set_and_wipe(struct nl *nl, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		struct dek d;
		int r;

		dek_numbered(&d, i + 1000);
		r = key_set(nl, &d);
		if (!r)
			r = key_wipe(nl, d.uuid, 0);
		if (!r)
			r = key_wait(nl, d.uuid, KEY_ABSENT, 20000);
		if (r)
			return r;
	}
	return 0;
}

static int rounds(struct nl *nl, unsigned long count)
{
	struct memory before, after;
	const int others = key_count(nl);
	int r = set_and_wipe(nl, count / 10);

	/* what is freed by RCU takes seconds */
	sleep_ms(RCU_MS);
	if (!r)
		r = count_memory(&before);
	if (!r)
		r = set_and_wipe(nl, count);
	sleep_ms(RCU_MS);
	if (!r)
		r = count_memory(&after);
	if (r)
		return r;
	printf("# before %lu rounds %llu objects, %llu KiB per CPU; after %llu, %llu\n", count,
	       before.objects, before.kib, after.objects, after.kib);
	/* those of an earlier step may have died by themselves meanwhile */
	if (key_count(nl) > others)
		return -EBUSY;
	return has_grown(&before, &after, count) ? -ENOMEM : 0;
}

static int one_disk(struct nl *nl, unsigned long i, const char *device, unsigned int *ret_minor)
{
	struct dek d;
	struct line l = { .length = 128, .offset = i * 128, .device = device, .uuid = d.text };
	char name[32], table[256];
	int r;

	dek_numbered(&d, i + 100000);
	line_print(&l, table, sizeof(table));
	snprintf(name, sizeof(name), "vt-many-%lu", i);
	r = key_set(nl, &d);
	return r ? r : dm_make(name, table, 0, ret_minor);
}

static int touch_disk(unsigned int minor, unsigned long i, bool write)
{
	uint8_t *p = buffer(16 * KIB), *q = buffer(16 * KIB);
	int fd = dm_open(minor, O_RDWR | O_DIRECT);
	int r = fd < 0 ? fd : 0;

	fill(p, 16 * KIB, i);
	if (!r)
		r = write ? write_all(fd, p, 16 * KIB, 0) : read_all(fd, q, 16 * KIB, 0);
	if (!r && !write && memcmp(p, q, 16 * KIB))
		r = -EILSEQ;
	if (fd >= 0)
		close(fd);
	free(p);
	free(q);
	return r;
}

static int disks(struct nl *nl, unsigned long count, const char *device)
{
	unsigned int *minor = calloc(count, sizeof(*minor));
	const int others = key_count(nl);
	int r = minor ? 0 : -ENOMEM;

	for (unsigned long i = 0; i < count && !r; i++)
		r = one_disk(nl, i, device, &minor[i]);
	for (unsigned long i = 0; i < count && !r; i++)
		r = touch_disk(minor[i], i, /* write= */ true);
	if (!r && key_count(nl) < (int)count)
		r = -EPROTO;
	for (unsigned long i = 0; i < count && !r; i++)
		r = touch_disk(minor[i], i, /* write= */ false);
	dm_sweep();
	free(minor);
	return r ? r : key_count(nl) > others ? -EBUSY : 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	const unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	struct nl nl;
	int r = nl_open(&nl);

	if (r)
		fprintf(stderr, "key: no netlink family: is the module loaded?\n");
	else if (!strcmp(verb, "set"))
		r = set(&nl, number);
	else if (!strcmp(verb, "wipe"))
		r = wipe(&nl, number);
	else if (!strcmp(verb, "rounds"))
		r = rounds(&nl, number);
	else if (!strcmp(verb, "disks") && argc > 3)
		r = disks(&nl, number, argv[3]);
	else
		r = -EINVAL;
	if (r)
		fprintf(stderr, "key %s %lu: %s\n", verb, number, strerror(-r));
	nl_close(&nl);
	return r ? 1 : 0;
}
