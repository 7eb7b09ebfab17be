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

/* KiB that a leak would add to */
static unsigned long long kernel_memory(void)
{
	static char text[16384];
	unsigned long long sum = 0;
	static const char *const names[] = { "SUnreclaim:", "VmallocUsed:", "Percpu:" };

	if (file_read("/proc/meminfo", text, sizeof(text)))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *at = strstr(text, names[i]);

		sum += at ? strtoull(at + strlen(names[i]), NULL, 10) : 0;
	}
	return sum;
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
	unsigned long long before, after;
	const int others = key_count(nl);
	int r = set_and_wipe(nl, count / 10);

	sleep_ms(500);
	before = kernel_memory();
	if (!r)
		r = set_and_wipe(nl, count);
	sleep_ms(500);
	after = kernel_memory();
	printf("# kernel memory: %llu KiB before %lu rounds, %llu KiB after\n", before, count, after);
	/* those of an earlier step may have died by themselves meanwhile */
	if (!r && key_count(nl) > others)
		r = -EBUSY;
	/* what KASAN keeps after it was freed looks like growth: kmemleak judges there */
	if (!r && !access("/sys/kernel/debug/kmemleak", F_OK))
		return 0;
	/* a key schedule alone is over 1 KiB */
	return r ? r : after > before + count / 4 ? -ENOMEM : 0;
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
