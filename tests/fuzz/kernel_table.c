// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A structure-aware fuzzer for the table line, to run inside a kernel that
 * looks: kernel_table COUNT [SEED]. Each line begins as a good one and is then
 * spoilt. What is refused must be refused with an errno that makes sense; what
 * is taken must be printed back as a line that is taken too and prints the same,
 * and the device made from it must read back what was written.
 *
 * A line is loaded beside, or in place of, the one before it, and only what was
 * written to is removed: making a device costs far more than the line, and a
 * kernel that looks is slow.
 */
#include <stdarg.h>
#include <sys/sysmacros.h>

#include "lib.h"

#include "kernel_random.h"

#define DISK_SIZE	(4 * MIB)
#define WORDS		16
#define LINE		2048

/**
 * struct fuzz - the state of a run
 * @keeper: its key is what the lines name, and stays loaded by it
 * @stranger: a key that is not loaded
 * @minor: of the device that the lines are loaded into, where @there
 */
struct fuzz {
	struct nl nl;
	struct vdisk keeper;
	struct disk disk;
	struct dek stranger;
	unsigned int minor;
	bool there;
	unsigned long answered[256];
	unsigned long taken;
	unsigned long used;
};

/**
 * struct words - a table line, word by word; the first three are dm's own
 */
struct words {
	unsigned int nr;
	char word[WORDS][256];
};

static const int known[] = {
	0, EINVAL, ENOKEY, ENODEV, ENOENT, ENXIO, ERANGE, EBUSY, ENOMEM, EACCES, ENOTBLK, EOVERFLOW,
	E2BIG, ENAMETOOLONG, EKEYREJECTED, EOPNOTSUPP,
};

static void add(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct words *w, const char *format, ...)
{
	va_list list;

	if (w->nr == WORDS)
		return;
	va_start(list, format);
	vsnprintf(w->word[w->nr++], sizeof(w->word[0]), format, list);
	va_end(list);
}

static void add_options(struct words *w, struct rnd *r)
{
	static const char *const options[] = {
		"sector_size:512", "sector_size:1024", "sector_size:2048", "sector_size:4096",
		"iv_large_sectors", "allow_discards", "key_loss:queue", "key_loss:error",
	};
	const unsigned int nr = rnd_below(r, 4);

	if (!nr && rnd_one_in(r, 2))
		return;
	add(w, "%u", nr);
	for (unsigned int i = 0; i < nr; i++)
		add(w, "%s", options[rnd_below(r, ARRAY_SIZE(options))]);
}

static void good_line(const struct fuzz *f, struct rnd *r, struct words *w)
{
	w->nr = 0;
	add(w, "0");
	add(w, "%u", 8 * (1 + rnd_below(r, 512)));
	add(w, "vmcrypt");
	add(w, "aes-xts-plain64");
	add(w, "%s", rnd_one_in(r, 16) ? f->stranger.text : f->keeper.dek.text);
	add(w, "%u", 8 * rnd_below(r, 1024));
	add(w, "%s", f->disk.node);
	add(w, "%u", 8 * rnd_below(r, 512));
	add_options(w, r);
}

static void spoil_number(struct rnd *r, char *word, size_t size)
{
	static const char *const formats[] = {
		"%llu", "%lld", "%#llx", "0%llu", "+%llu", "%llu ", "%llu.", "-%llu",
	};
	const unsigned long long v = rnd_number(r);

	/* all of them take one long long */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(word, size, formats[rnd_below(r, ARRAY_SIZE(formats))], v);
#pragma GCC diagnostic pop
}

static void spoil_word(struct rnd *r, char *word, size_t size)
{
	const size_t n = strlen(word);
	char *colon = strchr(word, ':');

	switch (rnd_below(r, 6)) {
	case 0:
		spoil_number(r, word, size);
		break;
	case 1:
		if (n)
			word[rnd_below(r, (unsigned int)n)] = (char)(1 + rnd_below(r, 255));
		break;
	case 2:
		if (n)
			word[rnd_below(r, (unsigned int)n)] = 0;
		break;
	case 3:
		if (colon)
			spoil_number(r, colon + 1, size - (size_t)(colon + 1 - word));
		break;
	case 4:
		memset(word, 'a' + (int)rnd_below(r, 26), rnd_below(r, (unsigned int)size));
		word[size - 1] = 0;
		break;
	default:
		if (n && n + 1 < size)
			memmove(word + 1, word, n + 1);
		break;
	}
}

static void spoil(struct rnd *r, struct words *w)
{
	const unsigned int at = 3 + rnd_below(r, w->nr - 3);

	switch (rnd_below(r, 6)) {
	case 0:
		memmove(w->word[at], w->word[at + 1], (w->nr - at - 1) * sizeof(w->word[0]));
		w->nr--;
		break;
	case 1:
		if (w->nr < WORDS) {
			memmove(w->word[at + 1], w->word[at], (w->nr - at) * sizeof(w->word[0]));
			w->nr++;
		}
		break;
	case 2:
		memcpy(w->word[at], w->word[3 + rnd_below(r, w->nr - 3)], sizeof(w->word[0]));
		break;
	case 3:
		spoil_number(r, w->word[1], sizeof(w->word[1]));
		break;
	default:
		spoil_word(r, w->word[at], sizeof(w->word[at]));
		break;
	}
}

static void join(const struct words *w, char *line, size_t size)
{
	size_t used = 0;

	line[0] = 0;
	for (unsigned int i = 0; i < w->nr && used < size; i++)
		used += (size_t)snprintf(line + used, size - used, "%s%s", i ? " " : "", w->word[i]);
}

/* printed, taken again, printed: the same */
static int prints_itself(const char *name)
{
	static char first[LINE], second[LINE];
	int r = dm_table(name, /* inactive= */ true, first, sizeof(first));

	if (!r)
		r = dm_load(name, first, 0);
	if (!r)
		r = dm_table(name, /* inactive= */ true, second, sizeof(second));
	if (!r && strcmp(first, second)) {
		printf("# printed \"%s\", then \"%s\"\n", first, second);
		r = -EPROTO;
	}
	return r;
}

/*
 * To the kernel a number may name a device, too: "704" is 7:4, a loop device that
 * holds nothing.
 */
static bool is_ours(const struct fuzz *f, unsigned int major, unsigned int minor)
{
	struct stat st;

	return !stat(f->disk.node, &st) && st.st_rdev == makedev(major, minor);
}

/*
 * True when what is to be resumed is on our disk. dm looks at the size of that when
 * a table is resumed, not when it is loaded.
 */
static bool is_usable(const struct fuzz *f, bool *ret_fits)
{
	static char table[LINE];
	unsigned long long length, offset;
	unsigned int major, minor;

	if (dm_table("vt-fuzz", /* inactive= */ true, table, sizeof(table)) ||
	    sscanf(table, "%*u %llu %*s %*s %*s %*u %u:%u %llu", &length, &major, &minor, &offset) != 4)
		return false;
	*ret_fits = length <= DISK_SIZE / SECTOR && offset <= DISK_SIZE / SECTOR - length;
	return is_ours(f, major, minor);
}

/* what the device holds after a write is what was written */
static int works(const char *name, unsigned int minor, bool fit, uint64_t seed)
{
	_Alignas(4096) static uint8_t p[4096], q[4096];
	int r = dm_resume(name);
	int fd = r ? r : dm_open(minor, O_RDWR | O_DIRECT);
	size_t size = sizeof(p);
	off_t end;

	if (!fit)
		return r == -EINVAL ? 0 : -EPROTO;
	if (fd < 0)
		return fd;
	end = lseek(fd, 0, SEEK_END);
	/* a target may be shorter */
	if (end > 0 && (size_t)end < size)
		size = (size_t)end;
	fill(p, size, seed);
	r = write_all(fd, p, size, 0);
	if (!r)
		r = read_all(fd, q, size, 0);
	close(fd);
	return r ? r : memcmp(p, q, size) ? -EILSEQ : 0;
}

static int judge(struct fuzz *f, int error, uint64_t seed)
{
	bool ok = false, fit;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		ok |= error == -known[i];
	if (!ok)
		return error;
	f->answered[-error & 255]++;
	if (error)
		return 0;
	f->taken++;
	r = prints_itself("vt-fuzz");
	if (!r && (!f->used || !(seed & 3)) && is_usable(f, &fit)) {
		r = works("vt-fuzz", f->minor, fit, seed);
		f->used++;
		f->there = false;
		dm_remove("vt-fuzz");
	}
	return r;
}

static int one_case(struct fuzz *f, uint64_t seed)
{
	static struct words w;
	static char line[LINE + 256 * WORDS];
	struct rnd r = { seed };
	int error;

	good_line(f, &r, &w);
	for (unsigned int n = rnd_below(&r, 4); n && w.nr > 4; n--)
		spoil(&r, &w);
	join(&w, line, sizeof(line));
	/* dm_load() takes a line break for the end of a line */
	for (char *p = line; *p; p++)
		if (*p == '\n')
			*p = '\t';

	error = f->there ? 0 : dm_new("vt-fuzz", &f->minor);
	if (error)
		return error;
	f->there = true;
	error = judge(f, dm_load("vt-fuzz", line, 0), seed);
	if (error)
		printf("# seed %#llx: %s: %.400s\n", (unsigned long long)seed,
		       strerror(-error), line);
	return error;
}

int main(int argc, char **argv)
{
	const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
	const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) << 24;
	static struct fuzz f;
	int r = test_begin(&f.nl);

	setvbuf(stdout, NULL, _IOLBF, 0);
	dek_random(&f.stranger, 32);
	if (!r)
		r = vdisk_new(&f.keeper, &f.nl, "keeper", MIB, 64, "");
	if (!r)
		r = loop_new(&f.disk, DISK_SIZE, 512, 0);
	if (r) {
		printf("1..1\nnot ok 1 set-up: %s\n", strerror(-r));
		return 1;
	}
	printf("1..1\n# %lu lines from seed %#llx\n", count, (unsigned long long)first);
	for (unsigned long i = 0; i < count && !r; i++)
		r = one_case(&f, first + i);
	for (unsigned int i = 0; i < ARRAY_SIZE(f.answered); i++)
		if (f.answered[i])
			printf("# %lu answered %s\n", f.answered[i], i ? strerror((int)i) : "0");
	printf("# %lu taken, %lu of them written to and read\n", f.taken, f.used);
	printf("%s 1 %lu table lines\n", r || !f.used ? "not ok" : "ok", count);
	dm_remove("vt-fuzz");
	vdisk_free(&f.keeper);
	test_end(&f.nl);
	disk_free(&f.disk);
	return r ? 1 : 0;
}
