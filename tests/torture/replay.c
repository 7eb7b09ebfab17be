// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Replays a log of dm-log-writes flush by flush: replay LOG TARGET STATE. Each
 * call goes on where STATE says that the last one stopped, writes to TARGET what
 * was logged up to and with the next flush, and prints "flush ENTRIES MARK" with
 * the name of the last mark seen; at the end of the log, "end ENTRIES MARK".
 * The log's format is that of the kernel's drivers/md/dm-log-writes.c.
 */
#include <endian.h>
#include <inttypes.h>

#include "lib.h"

#define LOG_MAGIC	0x6a736677736872ull
#define LOG_VERSION	1
#define LOG_FLUSH	1u
#define LOG_FUA		2u
#define LOG_DISCARD	4u
#define LOG_MARK	8u

/**
 * struct replay - a replay under way
 * @at: where in the log the next entry is, in bytes
 * @sector_size: bytes; what the log counts in
 * @entry: number of the next entry, of @entries
 * @mark: the last mark
 */
struct replay {
	int log;
	int target;
	uint64_t at;
	uint32_t sector_size;
	uint64_t entry;
	uint64_t entries;
	char mark[64];
};

struct super {
	uint64_t magic, version, entries;
	uint32_t sector_size;
};

struct entry {
	uint64_t sector, sectors, flags, data_len;
};

static int open_log(struct replay *r)
{
	struct super s;

	if (read_all(r->log, &s, sizeof(s), 0))
		return -EIO;
	if (le64toh(s.magic) != LOG_MAGIC || le64toh(s.version) != LOG_VERSION)
		return -EBADMSG;
	r->entries = le64toh(s.entries);
	r->sector_size = le32toh(s.sector_size);
	r->at = r->sector_size;
	return r->sector_size >= 512 && r->sector_size <= 65536 ? 0 : -EBADMSG;
}

static int apply(struct replay *r, const struct entry *e)
{
	const uint64_t size = e->sectors * r->sector_size, to = e->sector * r->sector_size;
	uint8_t *p;
	int result;

	if (!size)
		return 0;
	if (size > 64 * MIB)
		return -EBADMSG;
	p = calloc(1, size);
	if (!p)
		return -ENOMEM;
	result = e->flags & LOG_DISCARD ? 0 : read_all(r->log, p, size, r->at);
	if (!result)
		result = write_all(r->target, p, size, to);
	free(p);
	return result;
}

/* 1 when it was a flush */
static int step(struct replay *r)
{
	struct entry e;
	int result = read_all(r->log, &e, sizeof(e), r->at);

	if (result)
		return result;
	e.sector = le64toh(e.sector);
	e.sectors = le64toh(e.sectors);
	e.flags = le64toh(e.flags);
	e.data_len = le64toh(e.data_len);
	if (e.flags & LOG_MARK) {
		const size_t n = e.data_len < sizeof(r->mark) - 1 ? e.data_len : sizeof(r->mark) - 1;

		result = read_all(r->log, r->mark, n, r->at + sizeof(e));
		r->mark[n] = 0;
	}
	r->at += r->sector_size;
	if (!result)
		result = apply(r, &e);
	if (!(e.flags & LOG_DISCARD))
		r->at += e.sectors * r->sector_size;
	r->entry++;
	return result ? result : !!(e.flags & (LOG_FLUSH | LOG_FUA));
}

static void load_state(struct replay *r, const char *path)
{
	char text[256];
	uint64_t at, entry;

	if (!file_read(path, text, sizeof(text)) &&
	    sscanf(text, "%" SCNu64 " %" SCNu64 " %63s", &at, &entry, r->mark) == 3) {
		r->at = at;
		r->entry = entry;
	}
}

static int save_state(const struct replay *r, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "%" PRIu64 " %" PRIu64 " %s\n", r->at, r->entry, r->mark);
	return fclose(f) ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct replay r = { .mark = "none" };
	int result = argc == 4 ? 0 : -EINVAL, saved = 0;

	if (!result) {
		r.log = open(argv[1], O_RDONLY | O_CLOEXEC);
		r.target = open(argv[2], O_RDWR | O_CLOEXEC);
		result = r.log < 0 || r.target < 0 ? -errno : open_log(&r);
	}
	if (!result) {
		load_state(&r, argv[3]);
		while (!result && r.entry < r.entries)
			result = step(&r);
		if (result >= 0)
			saved = save_state(&r, argv[3]);
	}
	if (result < 0 || saved) {
		fprintf(stderr, "replay: entry %" PRIu64 ": %s\n", r.entry, strerror(result < 0 ? -result : -saved));
		return 1;
	}
	printf("%s %" PRIu64 " %s\n", result ? "flush" : "end", r.entry, r.mark);
	return 0;
}
